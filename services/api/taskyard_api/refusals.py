"""The refusals of the HTTP layer, beside those of the domain. problems.py turns both into answers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from taskyard.admission.invalid import Invalid, NoTaskTypes
from taskyard.domain.errors import Refused
from taskyard.domain.faults import Fault
from taskyard.domain.messages import Message, message

__all__ = [
    "ConversionConflict",
    "Fault",
    "Invalid",
    "KeyNameTaken",
    "Malformed",
    "MissingScope",
    "NoTaskTypes",
    "NotAcceptable",
    "PreconditionFailed",
    "QueueNotAllowed",
    "RangeNotSatisfiable",
    "RateLimited",
    "Stopping",
    "TaskExists",
    "TooLarge",
    "TypeNotRegistered",
    "Unauthenticated",
    "UnsupportedMedia",
]


class Malformed(Refused):
    """The request is not valid HTTP or JSON, so there are no fields to point at."""

    code = "malformed_request"


class TaskExists(Refused):
    """A task has the id that the caller chose; `task` is it as the caller sees it, None where it may not."""

    code = "id_taken"

    def __init__(self, told: Message, task: dict[str, Any] | None) -> None:
        super().__init__(told)
        self.task = task


class ConversionConflict(Refused):
    """An item is being converted, or was, in another way than is wished; `code` says which."""

    def __init__(self, told: Message, *, code: str, task_id: UUID) -> None:
        super().__init__(told)
        self.code = code
        self.task_id = task_id


class TypeNotRegistered(Refused):
    """A call of the platform's own needs a task type that no worker has brought."""

    code = "type_not_registered"

    def __init__(self, name: str) -> None:
        super().__init__(message("No worker has registered the task type {name}, which this call needs.", name=name))


class Unauthenticated(Refused):
    """No key, or one that is not valid (any more); `code` says which."""

    def __init__(self, code: str, told: Message) -> None:
        super().__init__(told)
        self.code = code


class MissingScope(Refused):
    code = "missing_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(message("This call needs a key with the scope '{scope}'.", scope=scope))
        self.scope = scope


class QueueNotAllowed(Refused):
    code = "queue_not_allowed"


class KeyNameTaken(Refused):
    code = "name_taken"


class RateLimited(Refused):
    code = "rate_limited"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(message("This key sends more requests a second than it may."))
        self.retry_after_seconds = retry_after_seconds


class Stopping(Refused):
    """For probes only: everything else is answered until the stop."""

    code = "stopping"

    def __init__(self) -> None:
        super().__init__(message("This API is about to stop."))


class TooLarge(Refused):
    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(message("The body is larger than {limit} bytes.", limit=limit))


class UnsupportedMedia(Refused):
    code = "unsupported_media_type"


class NotAcceptable(Refused):
    code = "not_acceptable"


class PreconditionFailed(Refused):
    """A condition in the request's head does not hold."""

    code = "precondition_failed"


class RangeNotSatisfiable(Refused):
    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(message("The range lies outside the {size} bytes there are.", size=size))
        self.size = size
