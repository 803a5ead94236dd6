"""RetryPolicy: a failed attempt and its error -> try again after a while | give up."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from ..backoff import backoff_seconds
from .errors import LONGEST_DELAY, Retry, TaskError, TimeLimitExceeded

FULL_JITTER_FLOOR = 0.05


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt; `reason` is `max_attempts` or `not_retryable`."""

    reason: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The delay before retry n (1, 2, ...) is `first_delay * factor ** (n - 1)`, at most `max_delay`, then
    "full jitter": a random share of it, so that many tasks that failed together do not come back together
    (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). At least 5 % of the delay stays,
    so that an outage is not met by an immediate second try.

    `retry_on` limits which errors are worth another attempt, time limits among them; `give_up_on` wins over it.
    `delays` gives some errors a fixed first delay of their own (connection errors come back sooner than the rest).
    """

    retries: int = 3
    first_delay: timedelta = timedelta(seconds=60)
    max_delay: timedelta = timedelta(seconds=600)
    factor: float = 2.0
    jitter: bool = True
    retry_on: tuple[type[BaseException], ...] = (Exception, TimeLimitExceeded)
    give_up_on: tuple[type[BaseException], ...] = ()
    delays: tuple[tuple[type[BaseException], timedelta], ...] = field(
        default=((ConnectionError, timedelta(seconds=5)),)
    )

    @property
    def max_attempts(self) -> int:
        return self.retries + 1

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
        if issubclass(type(error), Retry) and isinstance(after := getattr(error, "after", None), timedelta):
            return min(max(after, timedelta(0)), LONGEST_DELAY)
        return self.delay(failures, error=error, rand=rand)

    def is_retryable(self, error: BaseException) -> bool:
        # By its type: `isinstance` asks the error, too, which may say anything of its `__class__`.
        kind = type(error)
        if issubclass(kind, Retry):
            return True
        if issubclass(kind, self.give_up_on) or (issubclass(kind, TaskError) and not getattr(error, "retryable", True)):
            return False
        return issubclass(kind, (*self.retry_on, TaskError))

    def delay(
        self, failures: int, *, error: BaseException | None = None, rand: Callable[[], float] = random.random
    ) -> timedelta:
        """The backoff after the `failures`-th failure (1 is the first)."""
        own = (delay for kind, delay in self.delays if issubclass(type(error), kind))
        first = next(own, self.first_delay).total_seconds()
        longest = min(self.max_delay, LONGEST_DELAY).total_seconds()
        floor = FULL_JITTER_FLOOR if self.jitter else 1.0
        seconds = backoff_seconds(failures, first=first, longest=longest, factor=self.factor, floor=floor, rand=rand)
        return timedelta(seconds=seconds)
