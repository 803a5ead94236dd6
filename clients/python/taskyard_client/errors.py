"""What a call can raise.

ClientError
├── ApiAway          no answer, or 502, 503, 504: the same call may succeed later
├── ApiRefused       a problem document (RFC 9457); its classes are
│   ├── NotAllowed       401, 403
│   ├── NotFound         404
│   ├── Conflict         409
│   ├── Invalid          422
│   └── RateLimited      429
├── TaskFailed       raised by `Task.value` of a failed task
│   └── TaskCancelled
└── WaitTimedOut     also a TimeoutError
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models import Task


class ClientError(Exception):
    """The base of all errors of this package."""


class ApiAway(ClientError):
    """The API does not answer, or a part that it needs does not.

    `retry_after`: seconds that the API asked to wait. `is_passing`: whether the same call may succeed later.
    `was_sent`: whether the API may have seen the call. `code`: what the API says it lacks; empty where it says nothing.
    """

    def __init__(
        self,
        said: str,
        *,
        retry_after: float | None = None,
        is_passing: bool = True,
        was_sent: bool = True,
        code: str = "",
    ) -> None:
        super().__init__(said)
        self.code = code
        self.retry_after = retry_after
        self.is_passing = is_passing
        self.was_sent = was_sent


class ApiRefused(ClientError):
    """The API refused the call; `problem` is its problem document (RFC 9457)."""

    def __init__(self, problem: dict[str, Any], status: int = 0, *, retry_after: float | None = None) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "refused"))
        self.problem = problem
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        """With everything that is wrong: what a log or a traceback shows."""
        said_before = self.args[0]
        faults = "; ".join(
            pointer or "/" if said == said_before else f"{pointer or '/'}: {said}" for pointer, said in self.errors
        )
        return f"{self.args[0]} ({faults})" if faults else str(self.args[0])

    @property
    def code(self) -> str:
        """Stable, in snake_case."""
        return str(self.problem.get("code") or "")

    @property
    def request_id(self) -> str | None:
        return self.problem.get("request_id")

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Of a 422: the place of each fault, a JSON pointer into the body, and what is wrong."""
        told = self.problem.get("errors")
        # A gateway before the API may have documents of another form.
        faults = [e for e in told if isinstance(e, dict)] if isinstance(told, list) else []
        return [(str(e.get("pointer") or ""), str(e.get("message"))) for e in faults]

    def lines(self) -> Iterator[str]:
        """What is wrong, and where, for people."""
        yield f"{self.args[0]} ({self.code})" if self.code else str(self.args[0])
        for pointer, said in self.errors:
            yield f"  {pointer or '/'}: {said}"
        if self.problem.get("support_url"):
            yield f"Help: {self.problem['support_url']}"


class NotAllowed(ApiRefused):
    """The key is missing, unknown or expired, or may not do that."""


class NotFound(ApiRefused):
    """It does not exist, or the key may not see it."""


class Conflict(ApiRefused):
    """The state does not allow it, a unique key is held, or an id is taken: `code` says which."""

    @property
    def task(self) -> Task | None:
        """The task that has the id, where the code is `id_taken` and the key may see it."""
        from .models import Task

        found = self.problem.get("task")
        return None if found is None else Task.model_validate(found)


class Invalid(ApiRefused):
    """The request is not valid: `errors` says where."""


class RateLimited(ApiRefused):
    """The key sends more requests a second than it may."""


class TaskFailed(ClientError):
    """The task failed; `task` is it, `code` the stable code of its error."""

    def __init__(self, task: Task) -> None:
        super().__init__(task.error.message if task.error else f"The task {task.id} is {task.state}.")
        self.task = task
        self.code = task.error.code if task.error else task.state


class TaskCancelled(TaskFailed):
    """The task was cancelled."""


class WaitTimedOut(ClientError, TimeoutError):
    """The task, or the workflow, was not final when the time was over. `task`: as it was seen last, if it was."""

    def __init__(self, task: Task | None, seconds: float, *, waited_for: str = "The task") -> None:
        seen = "was not seen" if task is None else f"{task.name} {task.id} is {task.state}"
        if waited_for != "The task":
            seen = "is not final"
        super().__init__(f"{waited_for} {seen} after {seconds:g} s.")
        self.task = task


_OF_STATUS: dict[int, type[ApiRefused]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    429: RateLimited,
}


def refusal(status: int, problem: dict[str, Any], retry_after: float | None) -> ApiRefused:
    """The error of an answer by its status."""
    return _OF_STATUS.get(status, ApiRefused)(problem, status, retry_after=retry_after)
