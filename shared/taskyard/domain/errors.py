"""The error tree.

TaskyardError
├── TaskError              a task's own failure, with a stable code and words for people
│   ├── RateLimited            another system asks for fewer calls, perhaps `after` a time
│   ├── AuthenticationFailed   another system does not accept who calls it
│   └── InputUnusable          what was given to the task cannot be used
├── Retry                  a task asks for another attempt
├── Refused                the platform refuses a call; each has a code and maps to one HTTP status
│   ├── NotFound
│   ├── Conflict           the task's `state` does not allow it
│   ├── NotUnique          another task has the unique key: the `holder`, None where the caller may not know it
│   ├── IdTaken            a task with the chosen id exists: `task_id`
│   ├── KeyReused          the idempotency key was used with another body
│   └── Overloaded         too many requests wait; try again later
├── Fenced                 a write by an attempt that no longer holds its task
└── Unavailable            a dependency does not answer
    ├── LedgerUnavailable  PostgreSQL
    ├── BrokerUnavailable  Redis
    │   └── BrokerFull     it answers, and has no memory left
    └── CacheUnavailable   the Redis of the cached lists

BaseException
└── Interrupt              raised into a task's thread or loop from outside
    ├── TaskCancelled
    ├── Unfinished         raised by `context.batches` between two batches, when time is nearly over
    └── TimeLimitExceeded
        ├── SoftTimeLimitExceeded
        └── HardTimeLimitExceeded   never raised in a task: its process is ended
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from .messages import Message

# The longest time that a task may ask for: beyond some 290,000 years PostgreSQL has no time for it.
LONGEST_DELAY = timedelta(days=365)


class TaskyardError(Exception):
    """The base of all errors that the platform raises on purpose."""


class TaskError(TaskyardError):
    """A failure that a task reports.

    `code` is stable and in snake_case. Without a `message`, people are told the words that the task type declares for
    the code, in their language, with the `values` in them: text, numbers, truth values, and `{"phrase": name}` for a
    phrase of the type. A message stands as it is; with values beside it, it serves readers for whose language there
    are no words. With `retryable=False`, no further attempt is made.
    """

    def __init__(self, code: str, message: str = "", *, retryable: bool = True, **values: Any) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.values = values

    def __str__(self) -> str:
        if self.message or not self.values:
            return self.message or self.code
        return f"{self.code} ({', '.join(f'{name}={value!r}' for name, value in self.values.items())})"


class RateLimited(TaskError):
    """Another system asks for fewer calls.

    `after` is the time that it names, a timedelta or a number of seconds, and is cut to a year; without one, the retry
    policy says when. Raises TypeError and ValueError for a time below zero and for what is no time.
    """

    def __init__(self, code: str, message: str = "", *, after: timedelta | float | None = None, **values: Any) -> None:
        super().__init__(code, message, **values)
        self.after = None if after is None else time_until(_at_most_a_year(after), "after")


class AuthenticationFailed(TaskError):
    """Another system does not accept who calls it: not retried, unless the type's rules say otherwise."""


class InputUnusable(TaskError):
    """What was given to the task cannot be used: not retried, unless the type's rules say otherwise."""


class Retry(TaskyardError):
    """Raised by a task that wants another attempt, which counts against the retry budget.

    `after` is the time until then, a timedelta or a number of seconds; by default, the back-off of the retry policy.
    A timedelta below zero is at once, one beyond a year is a year. Raises TypeError and ValueError for seconds that are
    no such time.
    """

    def __init__(self, message: str = "", *, after: timedelta | float | None = None) -> None:
        super().__init__(message or "The task asked to be tried again.")
        self.message = message
        self.after = after if after is None or isinstance(after, timedelta) else time_until(after, "after")


class Refused(TaskyardError):
    """The call cannot be carried out as it is; `message` is told in the caller's language."""

    code = "refused"

    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self.message = message


class NotFound(Refused):
    code = "not_found"


class Conflict(Refused):
    code = "state_conflict"

    def __init__(self, message: Message, *, state: str) -> None:
        super().__init__(message)
        self.state = state


class NotUnique(Refused):
    code = "not_unique"

    def __init__(self, message: Message, *, holder: UUID | None) -> None:
        super().__init__(message)
        self.holder = holder


class IdTaken(Refused):
    code = "id_taken"

    def __init__(self, message: Message, *, task_id: UUID) -> None:
        super().__init__(message)
        self.task_id = task_id


class KeyReused(Refused):
    code = "idempotency_key_reused"


class Overloaded(Refused):
    code = "overloaded"

    def __init__(self, message: Message, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Fenced(TaskyardError):
    """The attempt was given up, or its task is to be cancelled."""


class Unavailable(TaskyardError):
    """A dependency does not answer; the same call may succeed soon."""


class LedgerUnavailable(Unavailable):
    """PostgreSQL does not answer."""


class BrokerUnavailable(Unavailable):
    """Redis does not answer."""


class BrokerFull(BrokerUnavailable):
    """Redis answers, and takes nothing for want of memory."""


class CacheUnavailable(Unavailable):
    """The Redis of the cached lists does not answer, which may be another one than that of the queues."""


class Interrupt(BaseException):
    """Raised into a running task from outside. Not an `Exception`, so `except Exception` does not catch it."""


class TaskCancelled(Interrupt):
    """The task is to be cancelled."""


class Unfinished(Interrupt):
    """The time of this attempt is nearly over: the task is given back, and goes on where it is in another one. No
    budget pays for it."""


class TimeLimitExceeded(Interrupt):
    """A time limit has passed."""


class SoftTimeLimitExceeded(TimeLimitExceeded):
    """The soft time limit has passed: the task should finish now; a partial result is kept."""


class HardTimeLimitExceeded(TimeLimitExceeded):
    """The hard time limit has passed. No task sees this; retry policies take it as the error."""


def _at_most_a_year(value: timedelta | float) -> timedelta | float:
    """Another system chose it: one that is too long is no error of the task's."""
    if isinstance(value, timedelta):
        return min(value, LONGEST_DELAY)
    return min(value, LONGEST_DELAY.total_seconds()) if isinstance(value, int | float) else value


def time_until(value: timedelta | float, name: str) -> timedelta:
    """A time that a task asks for, as a timedelta or in seconds.

    Raises TypeError for anything else, and ValueError for one below zero or beyond a year.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise TypeError(f"{name} is of type {type(value).__name__}: give a timedelta or a number of seconds")
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    longest = LONGEST_DELAY.total_seconds()
    if not 0 <= seconds <= longest:  # NaN, too
        given = "below zero" if seconds < 0 else "longer than a year" if seconds > longest else "not a number"
        raise ValueError(f"{name} is {given}: give 0 to {longest:.0f} seconds")
    return timedelta(seconds=float(seconds))
