"""The error tree.

TaskyardError
├── TaskError              a task's own failure, with a stable code and words for people
├── Retry                  a task asks to be run again, after a while
├── Refused                the platform says no to a caller; each has a code and maps to one HTTP status
│   ├── NotFound
│   ├── Conflict           the task's state does not allow it
│   ├── NotUnique          another task holds the unique key
│   ├── KeyReused          the idempotency key came before, with another body
│   └── Overloaded         too much is waiting here: come back later
├── Fenced                 a write of an attempt that does not hold its task any more
└── Unavailable            a part the platform leans on does not answer
    ├── LedgerUnavailable  PostgreSQL
    └── BrokerUnavailable  Redis

BaseException
└── Interrupt              raised into a task's thread or loop from outside
    ├── TaskCancelled
    └── TimeLimitExceeded
        ├── SoftTimeLimitExceeded
        └── HardTimeLimitExceeded   never raised in a task: its process is ended
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID


class TaskyardError(Exception):
    """The root of everything the platform raises on purpose."""


class TaskError(TaskyardError):
    """A failure that a task explains.

    `code` is stable and snake_case, `message` is for people, and `retryable` says whether trying again can
    help; with `retryable=False` no further attempt is made.
    """

    def __init__(self, code: str, message: str = "", *, retryable: bool = True) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message or code
        self.retryable = retryable


class Retry(TaskyardError):
    """Raised by a task that wants another attempt: it counts against the retry budget.

    `after` is the time until then; without it the policy's backoff decides.
    """

    def __init__(self, message: str = "", *, after: timedelta | None = None) -> None:
        super().__init__(message or "The task asked to be tried again.")
        self.after = after


class Refused(TaskyardError):
    """The caller asked for something that cannot be done now."""

    code = "refused"


class NotFound(Refused):
    code = "not_found"


class Conflict(Refused):
    """The state does not allow it; `state` names the one that was found."""

    code = "state_conflict"

    def __init__(self, message: str, *, state: str) -> None:
        super().__init__(message)
        self.state = state


class NotUnique(Refused):
    """Another task holds the unique key; `holder` is its id."""

    code = "not_unique"

    def __init__(self, message: str, *, holder: UUID) -> None:
        super().__init__(message)
        self.holder = holder


class KeyReused(Refused):
    code = "idempotency_key_reused"


class Overloaded(Refused):
    code = "overloaded"


class Fenced(TaskyardError):
    """The attempt that wrote was given up, or its task is to be cancelled."""


class Unavailable(TaskyardError):
    """A dependency does not answer; the same call may work in a moment."""


class LedgerUnavailable(Unavailable):
    """PostgreSQL does not answer."""


class BrokerUnavailable(Unavailable):
    """Redis does not answer."""


class Interrupt(BaseException):
    """Raised into a running task from outside; not an `Exception`, so that `except Exception` lets it
    pass.
    """


class TaskCancelled(Interrupt):
    """Somebody asked for this task to be cancelled."""


class TimeLimitExceeded(Interrupt):
    """A time limit is over."""


class SoftTimeLimitExceeded(TimeLimitExceeded):
    """The soft time limit is over: finish now, a partial result is kept."""


class HardTimeLimitExceeded(TimeLimitExceeded):
    """The hard time limit is over. No task sees this; retry policies are asked about it."""
