"""Results as Celery tells them, of tasks in workers and of those that ran eagerly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .client import Client
from .errors import Conflict, TaskCancelled, TaskFailed
from .models import Failure, Status, Task

if TYPE_CHECKING:
    from .celery import Celery

# The API's word for a cancelled task, and Celery's.
_STATES = {"CANCELLED": "REVOKED"}
_CURRENT: list[Celery] = []


def make_current(app: Celery) -> None:
    """`AsyncResult(id)` without an app is a result of the app that was made last, as in Celery."""
    _CURRENT[:] = [app]


def current() -> Celery:
    if not _CURRENT:
        raise RuntimeError("there is no app yet: make Celery(client=...), or give AsyncResult one")
    return _CURRENT[0]


class AsyncResult:
    """A task by its id. Where there is no such task, reading it raises NotFound: Celery would tell PENDING."""

    def __init__(self, id: str | UUID, app: Celery | None = None) -> None:  # noqa: A002 - Celery's name
        self._app = current() if app is None else app
        self._id = id if isinstance(id, UUID) else UUID(id)
        self._final: Status | None = None

    def __repr__(self) -> str:
        return f"<AsyncResult: {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncResult) and other._id == self._id

    def __hash__(self) -> int:
        return hash(self._id)

    @property
    def id(self) -> str:
        return str(self._id)

    @property
    def task_id(self) -> str:
        return self.id

    @property
    def state(self) -> str:
        """PENDING, STARTED, PROGRESS, RETRY, SUCCESS, FAILURE or REVOKED."""
        state = self._status().state
        return _STATES.get(state, state)

    status = state

    @property
    def info(self) -> Any:
        """The result, the error as an exception, or the progress of a task that runs."""
        found = self._status()
        if not found.ready or found.successful:
            return found.info
        task = self._tasks.task(self._id)
        return (TaskCancelled if task.state == "cancelled" else TaskFailed)(task)

    result = info

    def ready(self) -> bool:
        return self._status().ready

    def successful(self) -> bool:
        return self._status().successful

    def failed(self) -> bool:
        return self.state == "FAILURE"

    def get(self, timeout: float | None = None, propagate: bool = True) -> Any:
        """The result, once it is there. Raises TaskFailed, or TaskCancelled, which is one; with `propagate=False` it
        returns the error. Raises WaitTimedOut, a TimeoutError."""
        task = self._tasks.wait(self._id, timeout)
        try:
            return task.value()
        except TaskFailed as e:
            if propagate:
                raise
            return e

    def revoke(self, terminate: bool = False) -> None:
        """Cancels a task that waits; with `terminate` also one that runs. One that has ended stays as it is."""
        if terminate or not self._runs():
            with suppress(Conflict):
                self._tasks.cancel(self._id)

    def retry(self) -> AsyncResult:
        """Runs a task that failed or was revoked again, with its id. Raises Conflict for others."""
        self._tasks.retry(self._id)
        self._final = None
        return self

    def _runs(self) -> bool:
        return self._tasks.task(self._id).state == "running"

    def _status(self) -> Status:
        if self._final is not None:
            return self._final
        found = self._tasks.status(self._id)
        if found.ready:
            self._final = found
        return found

    @property
    def _tasks(self) -> Client | Eager:
        return self._app.eager if self._id in self._app.eager else self._app.client


class Eager:
    """Tasks that ran in this process."""

    def __init__(self) -> None:
        self._tasks: dict[UUID, Task] = {}

    def __contains__(self, task_id: UUID) -> bool:
        return task_id in self._tasks

    def run(
        self,
        task_id: UUID,
        name: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        propagate: bool,
    ) -> None:
        told: dict[str, Any]
        try:
            told = {"state": "succeeded", "result": function(*args, **kwargs)}
        except Exception as e:
            if propagate:
                raise
            told = {"state": "failed", "error": Failure(code=type(e).__name__, message=str(e))}
        self._tasks[task_id] = Task(id=task_id, name=name, queue="eager", attempt=1, **told)

    def task(self, task_id: UUID) -> Task:
        return self._tasks[task_id]

    def wait(self, task_id: UUID, timeout: float | None = None) -> Task:
        return self._tasks[task_id]

    def status(self, task_id: UUID) -> Status:
        task = self._tasks[task_id]
        return Status(
            task_id=task_id,
            state="SUCCESS" if task.succeeded else "FAILURE",
            status="Done" if task.succeeded else "Failed",
            progress=100.0,
            result=task.result,
            error=task.error.message if task.error else None,
            info=task.result,
            ready=True,
            successful=task.succeeded,
        )

    def cancel(self, task_id: UUID) -> None:
        raise Conflict({"detail": "The task has ended.", "code": "state_conflict"}, 409)

    def retry(self, task_id: UUID) -> None:
        raise Conflict({"detail": "What ran eagerly is not run again.", "code": "state_conflict"}, 409)
