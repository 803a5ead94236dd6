"""RetryPolicy: a failed attempt and its error -> try again after a while | give up."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from pydantic import ValidationError

from ..backoff import backoff_seconds
from .errors import (
    LONGEST_DELAY,
    AuthenticationFailed,
    InputUnusable,
    RateLimited,
    Retry,
    TaskError,
    TimeLimitExceeded,
    Unavailable,
)

FULL_JITTER_FLOOR = 0.05


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt; `reason` is `max_attempts` or `not_retryable`."""

    reason: str


@dataclass(frozen=True, slots=True)
class RetryRule:
    """What becomes of errors of one kind: those of the classes `errors`, and a TaskError with one of `codes`.

    Not `retried`: the first one is final. `first_delay`: of their own; None is that of the policy.
    """

    kind: str
    errors: tuple[type[BaseException], ...] = ()
    codes: tuple[str, ...] = ()
    retried: bool = True
    first_delay: timedelta | None = None

    def of(self, *more: str | type[BaseException]) -> RetryRule:
        """The rule for more codes and classes: `CONNECTION.of("bank_unreachable", httpx.TransportError)`."""
        codes = tuple(one for one in more if isinstance(one, str))
        errors = tuple(one for one in more if not isinstance(one, str))
        return replace(self, codes=self.codes + codes, errors=self.errors + errors)

    def holds_for(self, error: BaseException) -> bool:
        kind = type(error)
        if issubclass(kind, self.errors):
            return True
        return issubclass(kind, TaskError) and getattr(error, "code", None) in self.codes


# Another system cannot be reached: it may be back soon.
CONNECTION = RetryRule("connection", (ConnectionError, socket.gaierror, Unavailable), first_delay=timedelta(seconds=5))
# Another system asks for fewer calls: after the time that it names (`RateLimited.after`), else after a minute.
RATE_LIMIT = RetryRule("rate_limit", (RateLimited,), first_delay=timedelta(seconds=60))
# Another system does not know us, or what was given cannot be used: it would end in the same way.
AUTHENTICATION = RetryRule("authentication", (AuthenticationFailed,), retried=False)
VALIDATION = RetryRule("validation", (InputUnusable, ValidationError), retried=False)
RULES = (CONNECTION, RATE_LIMIT, AUTHENTICATION, VALIDATION)
# For policies whose own delays count for every error that is retried.
FINAL_RULES = (AUTHENTICATION, VALIDATION)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The delay before retry n (1, 2, ...) is `first_delay * factor ** (n - 1)`, at most `max_delay`, then
    "full jitter": a random share of it, so that many tasks that failed together do not come back together
    (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). At least 5 % of the delay stays,
    so that an outage is not met by an immediate second try.

    `retry_on` limits which errors are worth another attempt, time limits among them; `give_up_on` wins over it.
    `rules` are those of kinds of errors; the first that holds for an error counts.
    """

    retries: int = 3
    first_delay: timedelta = timedelta(seconds=60)
    max_delay: timedelta = timedelta(seconds=600)
    factor: float = 2.0
    jitter: bool = True
    retry_on: tuple[type[BaseException], ...] = (Exception, TimeLimitExceeded)
    give_up_on: tuple[type[BaseException], ...] = ()
    rules: tuple[RetryRule, ...] = RULES

    @property
    def max_attempts(self) -> int:
        return self.retries + 1

    def with_rules(self, *rules: RetryRule) -> RetryPolicy:
        """The policy with these rules in place of its own of the same kinds, and before its others."""
        replaced = {rule.kind for rule in rules}
        return replace(self, rules=(*rules, *(rule for rule in self.rules if rule.kind not in replaced)))

    def decide(
        self,
        error: BaseException,
        *,
        failures: int,
        max_attempts: int | None = None,
        rand: Callable[[], float] = random.random,
    ) -> timedelta | GiveUp:
        """How long to wait before the next attempt, or why there is none.

        `failures` counts the failed attempts so far, this one included; `max_attempts` is the task's own
        limit where the caller set one.
        """
        if not self.is_retryable(error):
            return GiveUp("not_retryable")
        if failures >= (self.max_attempts if max_attempts is None else max_attempts):
            return GiveUp("max_attempts")
        # A subclass may have left `after` unset.
        if issubclass(type(error), Retry | RateLimited) and isinstance(
            after := getattr(error, "after", None), timedelta
        ):
            return min(max(after, timedelta(0)), LONGEST_DELAY)
        return self.delay(failures, error=error, rand=rand)

    def is_retryable(self, error: BaseException) -> bool:
        # By its type: `isinstance` asks the error, too, which may say anything of its `__class__`.
        kind = type(error)
        if issubclass(kind, Retry):
            return True
        if issubclass(kind, self.give_up_on) or (issubclass(kind, TaskError) and not getattr(error, "retryable", True)):
            return False
        rule = self.rule_of(error)
        if rule is not None and not rule.retried:
            return False
        return issubclass(kind, (*self.retry_on, TaskError))

    def rule_of(self, error: BaseException | None) -> RetryRule | None:
        """The rule of the error's kind; None where it is of none."""
        return next((rule for rule in self.rules if error is not None and rule.holds_for(error)), None)

    def delay(
        self, failures: int, *, error: BaseException | None = None, rand: Callable[[], float] = random.random
    ) -> timedelta:
        """The backoff after the `failures`-th failure (1 is the first)."""
        rule = self.rule_of(error)
        own = None if rule is None else rule.first_delay
        first = (self.first_delay if own is None else own).total_seconds()
        longest = min(self.max_delay, LONGEST_DELAY).total_seconds()
        floor = FULL_JITTER_FLOOR if self.jitter else 1.0
        seconds = backoff_seconds(failures, first=first, longest=longest, factor=self.factor, floor=floor, rand=rand)
        return timedelta(seconds=seconds)
