"""The client for threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx2

from . import calls, management_calls, over_time
from .address import options_of
from .canvas import Node, OnFailure, workflow_fields
from .change_models import HandledInPart
from .connection import Connection
from .errors import ApiAway, ApiRefused, RateLimited
from .explanations import Explanation
from .following import Following, Pauses, Waiting, Watching
from .management_models import TimelineEvent
from .models import (
    Accepted,
    Cancellation,
    Change,
    Load,
    Missed,
    Status,
    Task,
    TaskEvent,
    Workflow,
    WorkflowCancellation,
    WorkflowStep,
)
from .namespaces import Namespaces
from .options import NewTask, Params, SubmitOptions
from .over_time_models import Statistics, Window
from .pages import Page, each
from .retries import Retries
from .type_models import TaskType

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

_DEFAULT = Retries()


class Client(Namespaces):
    """Calls of the API at `url`, for any number of threads; after a fork it opens connections of its own.

    Every method raises ApiAway and ApiRefused, once its repeats have failed too. `language`: that of the API's
    messages, as `Accept-Language` has it ("de"). `retries` bounds the repeats; `transport` is for a proxy, a
    certificate authority or a client certificate of your own.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        language: str | None = None,
        retries: Retries = _DEFAULT,
        transport: httpx2.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url
        options = {**options_of(url, key, language), "transport": transport}
        super().__init__(Connection(options, retries, clock, sleep))

    def __repr__(self) -> str:
        return f"Client({self._url!r})"  # without the key

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._api.close()

    def submit(self, name: str, params: Params | None = None, **options: Unpack[SubmitOptions]) -> Task:
        """Submits a task; it is durable once this returns. A submit whose answer got lost is repeated with the same
        idempotency key, so the task is there once.

        Raises TypeError for an unknown option, and ValueError for what is no JSON, before anything is sent.
        """
        return self._api.send(calls.submit(name, params, options))

    def submit_many(self, tasks: Sequence[NewTask], *, idempotency_key: str | None = None) -> list[Accepted]:
        """Submits up to 1,000 tasks, all of them or none, in their order."""
        return self._api.send(calls.submit_many(tasks, idempotency_key)).items

    def task(self, task_id: UUID | str, *, wait_seconds: float = 0) -> Task:
        """The task; with `wait_seconds`, up to 60, once it is final or the time is over."""
        return self._api.send(calls.task(task_id, wait_seconds=wait_seconds))

    def tasks(self, **filters: Any) -> Iterator[Task]:
        """Tasks, newest first, by the filters of `GET /tasks`: state (one or several), name, queue, tag, workflow_id,
        parent_id, schedule_id, worker_id, created_after, created_before."""
        return each(self._api, partial(calls.tasks, filters))

    def tasks_page(self, *, cursor: str | None = None, **filters: Any) -> Page[Task]:
        """One page of them; `limit` says how many, and `order="running_longest"` lists what runs, the oldest start
        first, `order="waiting_longest"` what is queued, what was submitted first in front."""
        return self._api.send(calls.tasks(filters, cursor))

    def timeline(
        self, task_id: UUID | str, *, limit: int = 200, cursor: str | None = None, **filters: Any
    ) -> Page[TimelineEvent]:
        """A page of the task's timeline, oldest first, or with `order="newest"` from the end; `log=True`: the lines of
        its log, `log=False`: all but these; `attempt`: of one attempt. `events` follows it live."""
        return self._api.send(management_calls.timeline(task_id, limit, cursor, filters))

    def status(self, task_id: UUID | str) -> Status:
        """The task in Celery's words."""
        return self._api.send(calls.status(task_id))

    def explain(self, task_id: UUID | str) -> Explanation:
        """Why the task is where it is."""
        return self._api.send(calls.explain(task_id))

    def task_type(self, name: str) -> TaskType:
        return self._api.send(calls.task_type(name))

    def cancel(self, task_id: UUID | str) -> Cancellation:
        """Cancels a task that waits; one that runs is asked to stop. Raises Conflict where it is final."""
        return self._api.send(calls.cancel(task_id))

    def retry(self, task_id: UUID | str) -> Task:
        """Runs a failed or cancelled task again: same id, fresh budgets. Raises Conflict for others."""
        return self._api.send(calls.retry(task_id))

    def change(
        self,
        task_id: UUID | str,
        *,
        queue: str | None = None,
        run_at: datetime | None = None,
        expires_at: datetime | None = None,
        tags: Sequence[str] | None = None,
    ) -> Task:
        """Changes a task that waits; what is None stays as it is. Raises Conflict where it does not wait."""
        changes = {"queue": queue, "run_at": run_at, "expires_at": expires_at, "tags": tags}
        return self._api.send(calls.change(task_id, changes))

    def cancel_many(
        self, ids: Sequence[UUID | str] | None = None, *, dry_run: bool = False, count: bool = True, **filters: Any
    ) -> HandledInPart:
        """Cancels tasks by their ids, or the oldest 1,000 that fit: state (one or several), name, queue, tag,
        workflow_id, created_after, created_before. `has_more` says whether others are left. `count=False`: `matched` is
        not all that fit, but what was changed."""
        return self._api.send(calls.cancel_many(ids, filters, dry_run=dry_run, count=count))

    def statistics(self, window: Window = "hour", *, name: str | None = None, queue: str | None = None) -> Statistics:
        """Attempts that ended in the last hour, day or 31 days: by outcome, type and error code, with their times."""
        return self._api.send(over_time.statistics(window, name, queue))

    def load(self, *queues: str) -> Load:
        """What waits and runs in these queues together, or in all that the key may see."""
        return self._api.send(calls.load(queues))

    def start(
        self,
        flow: Node,
        *,
        name: str | None = None,
        on_failure: OnFailure | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Workflow:
        """Submits a workflow that `chain`, `group`, `chord` or `step` made: all of its steps or none, once, as `submit`
        does."""
        fields = workflow_fields(flow, name=name, on_failure=on_failure, callback_url=callback_url)
        return self._api.send(calls.start(fields, idempotency_key))

    def workflow(self, workflow_id: UUID | str) -> Workflow:
        """The workflow, with the first of its steps; `workflow_steps` has all."""
        return self._api.send(calls.workflow(workflow_id))

    def workflow_steps(self, workflow_id: UUID | str) -> Iterator[WorkflowStep]:
        """All steps, each behind those that it needs; steps that steps added come in any order."""
        cursor: str | None = None
        while True:
            page = self._api.send(calls.workflow(workflow_id, cursor, 200))
            yield from page.steps
            cursor = page.next_cursor
            if cursor is None:
                return

    def cancel_workflow(self, workflow_id: UUID | str) -> WorkflowCancellation:
        """No further step begins, what waits is cancelled, what runs is asked to stop. Raises Conflict at its end."""
        return self._api.send(calls.cancel_workflow(workflow_id))

    def retry_workflow(self, workflow_id: UUID | str) -> Workflow:
        """Runs again what did not succeed. Raises Conflict unless the workflow failed or was cancelled."""
        return self._api.send(calls.retry_workflow(workflow_id))

    def wait_workflow(self, workflow_id: UUID | str, timeout: float | None = None) -> Workflow:
        """The workflow once all of its steps have ended, whatever became of them. Asks every second at most. Raises
        WaitTimedOut after `timeout` seconds."""
        pauses = Pauses(timeout, self._api.clock)
        while not (found := self.workflow(workflow_id)).is_final:
            self._api.sleep(pauses.next())
        return found

    def wait(self, task_id: UUID | str, timeout: float | None = None) -> Task:
        """The task once it is final, whatever became of it: `.value()` gives the result or raises.

        Raises WaitTimedOut after `timeout` seconds, and ApiAway after a minute without an answer.
        """
        waiting = Waiting(timeout, self._api.retries, self._api.clock)
        following = Following(self._api.retries, self._api.clock)
        while True:
            error: ApiAway | RateLimited | None = None
            try:
                if waiting.may_stream:
                    self._listen(task_id, waiting, following)
                seconds, left = waiting.ask()
                task = self._api.attempt(calls.task(task_id, wait_seconds=seconds), left)
                if waiting.saw(task):
                    return task
            except (ApiAway, RateLimited) as e:
                error = e
                waiting.away(e)
            self._api.sleep(waiting.pause(error))

    def _listen(self, task_id: UUID | str, waiting: Waiting, following: Following) -> None:
        """Until the stream ends, as it does behind the final event, or breaks, or the time is nearly over."""
        heard = False
        # The read that follows tells whether the API is away, or only the stream did not come through.
        with suppress(ApiAway, ApiRefused):
            for _ in self._api.stream(calls.events_path(task_id), following, silence=calls.HEARTBEAT_SECONDS):
                heard = True
                if not waiting.may_stream:
                    break
        waiting.streamed(heard=heard)

    def events(self, task_id: UUID | str) -> Iterator[TaskEvent]:
        """The task's timeline until its final event, live; a broken connection is resumed where it ended.

        Raises ApiAway after a minute without an answer.
        """
        following = Following(self._api.retries, self._api.clock)
        while True:
            error: ApiAway | RateLimited | None = None
            try:
                for event in self._api.stream(calls.events_path(task_id), following):
                    if event is not None:
                        yield event
                if following.is_final:
                    return
                # A stopping server closes its streams, too. Once the task is final, one more read brings the rest.
                following.saw(self._api.attempt(calls.task(task_id)))
            except (ApiAway, RateLimited) as e:
                error = e
                following.patience.away(e)
            if error is not None or not following.is_final:
                self._api.sleep(following.pause(error))

    def changes(self, **filters: Any) -> Iterator[Change | Missed]:
        """All tasks' changes as they happen, without an end, by the filters of `GET /events`: state (one or several),
        name, queue, workflow_id. What happened before is not told, nor what happened while the connection was broken:
        there, `Missed` comes.

        Raises ApiAway where the first connection fails, and later after a minute without an answer.
        """
        watching, query = Watching(self._api.retries, self._api.clock), calls.changes_query(filters)
        while True:
            error: ApiAway | RateLimited | None = None
            try:
                for change in self._api.stream(calls.CHANGES_PATH, watching, query):
                    if change is not None:
                        yield change
            except (ApiAway, RateLimited) as e:
                error = e
                watching.away(e)
            self._api.sleep(watching.pause(error))
