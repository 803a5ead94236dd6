"""When a call is sent again, and how long before.

Only what is safe is sent again: reads, and changes that carry an idempotency key, with which the API does them once.
Pauses grow and are jittered, so that callers which failed together do not come back together (Brooker, "Exponential
Backoff And Jitter", AWS Architecture Blog, 2015); the API's `Retry-After` is the least. One deadline bounds all
attempts of a call together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from .errors import ApiAway, ApiRefused, RateLimited

Clock = Callable[[], float]
# Not the global generator: an application may seed that, and its processes would then wait in step.
_RANDOM = random.SystemRandom().random
# The first request with this key is still being answered.
_PENDING = "idempotency_in_progress"
_FLOOR = 0.5


@dataclass(frozen=True)
class Retries:
    """`seconds`: for a call with all its attempts and pauses; `attempts`: at most so many."""

    seconds: float = 30.0
    attempts: int = 10
    first_pause: float = 0.2
    longest_pause: float = 5.0
    rand: Callable[[], float] = field(default=_RANDOM, repr=False)

    def pause(self, failures: int) -> float:
        """Before the attempt that follows the `failures`-th failure in a row."""
        longest = min(self.longest_pause, self.first_pause * 2 ** min(failures - 1, 30))
        return self.jittered(longest)

    def jittered(self, seconds: float) -> float:
        return seconds * (_FLOOR + (1 - _FLOOR) * self.rand())


class Attempts:
    """The attempts of one call."""

    def __init__(self, retries: Retries, clock: Clock, seconds: float) -> None:
        self._retries = retries
        self._clock = clock
        self._deadline = clock() + seconds
        self.failures = 0

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._deadline - self._clock())

    def pause_after(self, error: ApiAway | ApiRefused, *, is_safe: bool) -> float:
        """How long to wait before the next attempt. Raises `error` where there is none."""
        self.failures += 1
        if self.failures >= self._retries.attempts or not _may_pass(error, is_safe=is_safe):
            raise error
        pause = self._retries.pause(self.failures)
        if error.retry_after is not None:
            # Not all at the same moment.
            pause += error.retry_after
        if pause >= self.left:
            raise error
        return pause


def _may_pass(error: ApiAway | ApiRefused, *, is_safe: bool) -> bool:
    if isinstance(error, ApiAway):
        return error.is_passing and (is_safe or not error.was_sent)
    return is_safe and (isinstance(error, RateLimited) or error.code == _PENDING)


def retry_after(
    header: str | None, *, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
) -> float | None:
    """Seconds out of `Retry-After`: seconds or a date (RFC 9110, section 10.2.3); None for anything else."""
    if header is None:
        return None
    if header.strip().isdecimal() and header.isascii():
        return float(header[:12])
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    at = at.replace(tzinfo=timezone.utc) if at.tzinfo is None else at
    return max(0.0, (at - now()).total_seconds())
