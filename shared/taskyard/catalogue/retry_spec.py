"""The retry policy of a task type as data: a part of its spec."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from ..domain.errors import HardTimeLimitExceeded
from ..domain.retry import RetryPolicy

MAX_CODES = 200  # error codes, and phrases, of one type
LONGEST_SECONDS = 365 * 86_400

# Strict: "1" is no number. Ignored: what a later release adds, or a rolling update would lose types.
STRICT = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, hide_input_in_errors=True)

Seconds = Annotated[float, Field(ge=0, le=LONGEST_SECONDS)]
ClassName = Annotated[str, Field(min_length=1, max_length=200)]
Code = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$", max_length=100)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RuleSpec:
    """What becomes of errors of one kind: of the classes `errors`, whose names are for people to read, and of `codes`.
    `first_delay_seconds` None: the policy's."""

    kind: Annotated[str, Field(min_length=1, max_length=100)]
    errors: Annotated[tuple[ClassName, ...], Field(max_length=MAX_CODES)] = ()
    codes: Annotated[tuple[Code, ...], Field(max_length=MAX_CODES)] = ()
    retried: bool = True
    first_delay_seconds: Seconds | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RetrySpec:
    """The retry policy (domain/retry.py) as data. `retry_on` and `give_up_on` are names of classes, for people to read.
    `retries_hard_limit`: a hard time limit is tried again, too."""

    max_attempts: Annotated[int, Field(ge=1, le=2**31 - 1)]
    first_delay_seconds: Seconds
    max_delay_seconds: Seconds
    factor: Annotated[float, Field(ge=0, le=1_000)]
    jitter: bool
    rules: Annotated[tuple[RuleSpec, ...], Field(max_length=50)] = ()
    retries_hard_limit: bool = True
    retry_on: Annotated[tuple[ClassName, ...], Field(max_length=MAX_CODES)] = ()
    give_up_on: Annotated[tuple[ClassName, ...], Field(max_length=MAX_CODES)] = ()


def retry_of(policy: RetryPolicy) -> dict[str, Any]:
    """A declared policy as a `RetrySpec` is written."""
    return {
        "max_attempts": policy.max_attempts,
        "first_delay_seconds": _seconds(policy.first_delay),
        "max_delay_seconds": _seconds(policy.max_delay),
        "factor": policy.factor,
        "jitter": policy.jitter,
        "rules": [
            {
                "kind": rule.kind,
                "errors": _names(rule.errors),
                "codes": list(rule.codes),
                "retried": rule.retried,
                "first_delay_seconds": None if rule.first_delay is None else _seconds(rule.first_delay),
            }
            for rule in policy.rules
        ],
        "retries_hard_limit": policy.is_retryable(HardTimeLimitExceeded()),
        "retry_on": _names(policy.retry_on),
        "give_up_on": _names(policy.give_up_on),
    }


def _names(kinds: Iterable[type[BaseException]]) -> list[str]:
    return [kind.__name__ for kind in kinds]


def _seconds(delay: timedelta) -> float:
    """As the policy applies it: never longer than a year."""
    return min(delay.total_seconds(), LONGEST_SECONDS)
