"""Run a task in this process, without any server: for tests of tasks, and for `taskyard-worker run-task`.

    run = run_task("diagnostics.echo", {"value": 1})
    assert run.result == {"value": 1}

The parameters go the way they go in production (admitted by the spec of the type, secrets encrypted and decrypted
again), and the context and the outcome are made by the worker's own code. Only the progress, the log lines, the
children and the outcome are kept here instead of in the ledger. No time limit is enforced.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast
from uuid import UUID

from cryptography.fernet import Fernet
from pydantic import BaseModel
from sqlalchemy import Engine

from ..admission.wishes import PlainCaller
from ..catalogue import kits
from ..catalogue.secrets import Cipher
from ..catalogue.types import Catalogue, TaskType, type_of
from ..domain.ids import new_id
from ..domain.tasks import Failed, Fault, Outcome, RetryIn, Succeeded
from ..lifecycle.claim import Claimed
from ..lifecycle.submit import NewTask
from ..settings import Settings
from ..storage.interface import Storage
from ..storage.local import LocalStorage
from . import outcomes
from .admitted import NotAdmitted, admitted
from .attempt import Services, prepare
from .attributes import Attribute
from .batches import KeptMarks, Marks
from .capture import Handler
from .child import Child
from .children import Children
from .context import TaskContext
from .database import EngineDatabase, NoDatabase
from .record import Record
from .speaker import current
from .streams import Stream
from .upkeep import NO_UPKEEP, NoUpkeep, Upkeep
from .webhooks import NO_WEBHOOKS, NoWebhooks, Webhooks

Task = str | Callable[..., Any] | TaskType[Any, Any]


class Options(TypedDict, total=False):
    """The options of `trial`, which tells what they are."""

    settings: Any
    platform: Settings | None
    storage: Storage | None
    engine: Engine | None
    webhooks: Webhooks | NoWebhooks
    marks: Marks | None
    upkeep: Upkeep | NoUpkeep
    attempt: int
    task_id: UUID | None
    submitted_by: str | None
    allowed_queues: Sequence[str] | None
    workflow_id: UUID | None


@dataclass(slots=True)
class TaskRun:
    """One attempt.

    `progress` holds every (current, total, message) that was reported, `stages` the messages as they changed, `logs`
    the lines of the task's log, `submitted` its children, `attributes` those of its span.
    """

    task_id: UUID
    outcome: Outcome
    progress: list[tuple[float, float | None, str]] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    submitted: list[Child] = field(default_factory=list)
    attributes: dict[str, Attribute] = field(default_factory=dict)

    @property
    def fault(self) -> Fault:
        """What went wrong: its `code`, `values` and `message`. Raises AssertionError where the task did not fail."""
        match self.outcome:
            case Failed(fault) | RetryIn(fault):
                return fault
            case other:
                raise AssertionError(f"the task did not fail: {other}")

    @property
    def will_retry(self) -> bool:
        """Whether another attempt would follow."""
        return isinstance(self.outcome, RetryIn)

    @property
    def result(self) -> Any:
        """Raises AssertionError where the task did not succeed, with what went wrong."""
        match self.outcome:
            case Succeeded(result):
                return result
            case Failed(fault) | RetryIn(fault):
                raise AssertionError(f"{fault.code}: {fault.message}\n{fault.traceback or ''}")
            case other:
                raise AssertionError(f"the task did not succeed: {other}")


def run_task(task: Task, params: Mapping[str, Any] | BaseModel | None = None, **given: Unpack[Options]) -> TaskRun:
    """Runs one attempt of `task`: a function decorated with @task, a task type, or the name of a type.

    `params` are those of a submit, secrets as plain values; `given` the options of `trial`. On a running event loop,
    await `run_task_async` instead.

    Raises UnknownTaskType and NotAdmitted where a submit would be refused, and SpecRefused where the platform does not
    take the type.
    """
    with trial(task, params, **given) as ready:
        return ready.run()


async def run_task_async(
    task: Task, params: Mapping[str, Any] | BaseModel | None = None, **given: Unpack[Options]
) -> TaskRun:
    """As `run_task`, on the running event loop: a coroutine function may use its objects. A plain one has a thread."""
    with trial(task, params, **given) as ready:
        if ready.task_type.is_async:
            return await ready.run_async()
        return await asyncio.to_thread(ready.run)


@contextmanager
def trial(
    task: Task,
    params: Mapping[str, Any] | BaseModel | None = None,
    *,
    settings: Any = None,
    platform: Settings | None = None,
    storage: Storage | None = None,
    engine: Engine | None = None,
    webhooks: Webhooks | NoWebhooks = NO_WEBHOOKS,
    marks: Marks | None = None,
    upkeep: Upkeep | NoUpkeep = NO_UPKEEP,
    attempt: int = 1,
    task_id: UUID | None = None,
    submitted_by: str | None = None,
    allowed_queues: Sequence[str] | None = None,
    workflow_id: UUID | None = None,
) -> Iterator[_Trial]:
    """An attempt that is ready to run.

    `settings` becomes `context.settings`; without it, the settings of the task's kit come from the environment.
    `platform` has the platform's own settings: its secret keys, queues and task modules. Without `storage`, files are
    in a directory that is gone afterwards; without `engine`, `context.db()` fails with the code `no_database`.
    `webhooks` become `context.webhooks`, `upkeep` becomes `context.upkeep`. With a `workflow_id` it is a step of that
    workflow. `marks` (`KeptMarks()` of
    `taskyard.running.batches`) are those of `context.batches`, for several attempts of one `task_id`.
    """
    platform = (platform or Settings()).model_copy(update={"diagnostics": True})
    loaded = kits.load(platform)
    task_type = _find(task, loaded.catalogue)
    if settings is None:
        settings = _kit_settings(task_type, platform)
    keys = [key.get_secret_value() for key in platform.secret_keys]
    cipher = Cipher(keys or [Fernet.generate_key().decode()])
    caller = PlainCaller(submitted_by, allowed_queues)
    new = admitted(task_type, params, cipher, caller, life=platform.task_life, workflow_id=workflow_id)
    work = _work(new, attempt, task_id or new.id)
    known = {*platform.queues, *loaded.queues}
    record = Record(Children(loaded.catalogue, cipher, queues=known, life=platform.task_life).admit)
    with tempfile.TemporaryDirectory(prefix="taskyard-run-") as directory:
        temporary = Path(directory)
        database = _NO_DATABASE if engine is None else EngineDatabase(engine)
        kept = LocalStorage(temporary / "storage") if storage is None else storage
        walks = KeptMarks() if marks is None else marks
        services = Services(kept, record.submit, database, None, temporary, webhooks, walks, upkeep, record)
        with _captured():
            prepared = prepare(work, task_type, cipher, services, record, settings=settings)
        yield _Trial(task_type, work, prepared, record)


@dataclass(frozen=True, slots=True)
class _Trial:
    """`prepared`: the parameters and the context, or why there are none."""

    task_type: TaskType[Any, Any]
    work: Claimed
    prepared: tuple[Any, TaskContext] | Failed
    record: Record

    def run(self) -> TaskRun:
        return asyncio.run(self.run_async()) if self.task_type.is_async else _without_loop(self.run_async())

    async def run_async(self) -> TaskRun:
        if isinstance(self.prepared, Failed):
            return self._ended(self.prepared)
        params, context = self.prepared
        function = self.task_type.function
        assert function is not None
        with _captured(), current(context):
            try:
                returned = function(params, context)
                if self.task_type.is_async:
                    returned = await returned
                outcome: Outcome = outcomes.of_return(self.task_type, returned, redact=context.redact)
            except BaseException as e:  # noqa: BLE001 - SystemExit and interrupts are outcomes too
                outcome = _failed(self.work, self.task_type, e, context)
        return self._ended(outcome)

    def _ended(self, outcome: Outcome) -> TaskRun:
        of = self.record
        return TaskRun(self.work.id, outcome, of.told, of.stages, of.lines, of.children, of.attributes)


def _without_loop(coroutine: Coroutine[Any, Any, TaskRun]) -> TaskRun:
    """The result of a coroutine that never waits. A plain function runs without an event loop, as in a worker."""
    try:
        coroutine.send(None)
    except StopIteration as e:
        return cast(TaskRun, e.value)
    raise AssertionError("it waits")


def _failed(work: Claimed, task_type: TaskType[Any, Any], error: BaseException, context: TaskContext) -> Outcome:
    return outcomes.of_error(
        outcomes.root_of(error),
        task_type.retry,
        failures=work.failures + 1,
        max_attempts=work.max_attempts,
        redact=context.redact,
        vocabulary=task_type.vocabulary,
    )


def _find(task: Task, catalogue: Catalogue) -> TaskType[Any, Any]:
    task_type = catalogue[task] if isinstance(task, str) else type_of(task)
    if task_type is None or task_type.function is None:
        raise TypeError(f"{task!r} is no function decorated with @task")
    return task_type


def _kit_settings(task_type: TaskType[Any, Any], platform: Settings) -> Any:
    assert task_type.function is not None
    kit = kits.kit_of(task_type.function.__module__, platform)
    return None if kit is None else kits.settings_of(kit)


def _work(new: NewTask, attempt: int, task_id: UUID) -> Claimed:
    return Claimed(
        id=task_id,
        claim=new_id(),
        name=new.name,
        queue=new.queue,
        params=new.params,
        version=new.version,
        attempt=attempt,
        failures=attempt - 1,
        max_attempts=new.max_attempts,
        soft_timeout_seconds=new.soft_timeout_seconds,
        hard_timeout_seconds=new.hard_timeout_seconds,
        waited_seconds=0.0,
        tags=[],
        request_id=None,
        traceparent=None,
        submitted_by=new.submitted_by,
        allowed_queues=None if new.allowed_queues is None else list(new.allowed_queues),
        workflow_id=new.workflow_id,
    )


_NO_DATABASE = NoDatabase("no_database", "This task needs PostgreSQL, and this run has none.")


@contextmanager
def _captured() -> Iterator[None]:
    """What the task prints and logs becomes lines of its log, as in a worker; put back afterwards."""
    root, stdout = logging.getLogger(), sys.stdout
    handler, level = Handler(logging.INFO), root.level
    root.addHandler(handler)
    root.setLevel(min(level, logging.INFO))
    sys.stdout = Stream(stdout)  # type: ignore[arg-type]
    try:
        yield
    finally:
        sys.stdout = stdout
        root.setLevel(level)
        root.removeHandler(handler)


__all__ = ["NotAdmitted", "TaskRun", "run_task", "run_task_async", "trial"]
