"""Reports of what went wrong for good: what the services tell Sentry, where it is switched on (`exports.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

# Of one process, and of it with one fingerprint. A type that fails a thousand times a second is known after thirty.
MOST_A_MINUTE = 300
MOST_A_MINUTE_ALIKE = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTask:
    """A task that has failed for good, in words without secrets: those of the ledger. `type` is the class of the error,
    `traceback` Python's text."""

    task_id: UUID
    name: str
    queue: str
    attempt: int
    kind: str
    code: str
    type: str
    message: str
    traceback: str | None
    request_id: str | None
    trace_id: str | None


class Reports(Protocol):
    """No method waits for a server, or raises."""

    @property
    def is_on(self) -> bool: ...

    def task_failed(self, failed: FailedTask) -> None: ...

    def unexpected(self, error: BaseException, **tags: str) -> None:
        """An error of the platform itself."""
        ...

    def lost(self, number: int) -> None:
        """So many are not sent: they are counted with those that the server did not take."""
        ...

    def stop(self, seconds: float) -> None:
        """Sends what waits, for so long at most."""
        ...


class NoReports:
    is_on = False

    def task_failed(self, failed: FailedTask) -> None:
        pass

    def unexpected(self, error: BaseException, **tags: str) -> None:
        pass

    def lost(self, number: int) -> None:
        pass

    def stop(self, seconds: float) -> None:
        pass


NO_REPORTS = NoReports()
