"""Run a task in this process, without any server: for tests of tasks, and for `taskyard-worker run-task`.

    run = run_task("diagnostics.echo", {"value": 1})
    assert run.result == {"value": 1}

The parameters go the way they go in production (checked, secrets encrypted and decrypted again), and the worker's own
runner runs the function. Only its progress, its lines, its children and its outcome are kept here instead of in the
ledger.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from cryptography.fernet import Fernet
from pydantic import BaseModel
from sqlalchemy import Connection, Engine

from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import Catalogue, TaskType, load
from taskyard.domain.errors import TaskError
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed, Outcome, RetryIn, Succeeded
from taskyard.lifecycle.batch import check_storable
from taskyard.lifecycle.claim import Claimed
from taskyard.settings import Settings
from taskyard.storage.interface import Storage
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger

from . import implementations
from .child import capture
from .child.claim_table import ClaimTable
from .child.runner import Runner, Services
from .child.skills import Skills
from .child.submitter import Maker, maker
from .child.writer import End
from .context import Child, TaskContext
from .implementations import Function
from .slots import SlotTable


@dataclass(slots=True)
class TaskRun:
    """One attempt.

    `progress` holds every (current, total, message) that was reported, `stages` the messages as they changed, `logs`
    the lines of the task's log, `submitted` its children.
    """

    task_id: UUID
    outcome: Outcome
    progress: list[tuple[float, float | None, str]] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    submitted: list[Child] = field(default_factory=list)

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


def run_task(
    task: str | Function,
    params: Mapping[str, Any] | BaseModel,
    *,
    settings: Settings | None = None,
    storage: Storage | None = None,
    engine: Engine | None = None,
    attempt: int = 1,
    task_id: UUID | None = None,
    submitted_by: str | None = None,
) -> TaskRun:
    """Runs one attempt of `task`, a function marked with @implements or the name of a type.

    Without `storage`, files are in a directory that is gone afterwards; without `engine`, `context.db()`
    fails with the code `no_database`. Not to be called on a running event loop: use a thread there.

    Raises UnknownTaskType, pydantic.ValidationError and Unstorable, where a submit would be refused.
    """
    settings = settings or Settings()
    task_type, function = _find(task, settings)
    keys = [key.get_secret_value() for key in settings.secret_keys]
    cipher = Cipher(keys or [Fernet.generate_key().decode()])
    if isinstance(params, BaseModel):
        stored = params.model_dump(mode="json", context={"cipher": cipher})
    else:
        stored = task_type.accept(params, cipher)
    check_storable(stored)
    work = _work(task_type, stored, attempt, id=task_id or new_id(), submitted_by=submitted_by)
    record = _Record(maker(settings, load(settings.task_modules, diagnostics=True), cipher))
    with ExitStack() as stack:
        if storage is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="taskyard-run-"))
            storage = LocalStorage(Path(directory))
        slots = SlotTable.create(1)
        slots.hand_down()  # no supervisor shares it
        table = ClaimTable(slots, threads=1, async_limit=1)
        connect = partial(ledger.transaction, engine) if engine is not None else _no_database
        runner = Runner(
            Skills(Catalogue([task_type]), {task_type.name: _in_this_thread(function)}, cipher),
            Services(settings, storage, record.submit, connect),
            table,
            record,
        )
        (slot,) = table.enter([work.id], work.claim)
        table.settle([slot], [work])
        stack.enter_context(_captured())
        runner.run(slot)
    assert record.outcome is not None
    return TaskRun(work.id, record.outcome, record.told, record.stages, record.lines, record.children)


class _Record:
    """Stands in for the worker's writer and submitter; `check` raises where the submitter would."""

    def __init__(self, check: Maker) -> None:
        self._check = check
        self.outcome: Outcome | None = None
        self.told: list[tuple[float, float | None, str]] = []
        self.stages: list[str] = []
        self.lines: list[str] = []
        self.children: list[Child] = []

    def progress(self, task_id: UUID, claim: UUID, current: float, total: float | None, message: str) -> None:
        self.told.append((current, total, message))

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        (self.stages if kind == "stage" else self.lines).append(data["message"])

    def submit(self, parent: TaskContext, children: Sequence[Child]) -> list[UUID]:
        for child in children:
            self._check(parent, child)
        self.children.extend(children)
        return [new_id() for _ in children]

    def end(self, end: End) -> None:
        self.outcome = end.outcome


def _find(task: str | Function, settings: Settings) -> tuple[TaskType[Any, Any], Function]:
    if callable(task):
        task_type = getattr(task, implementations._MARK, None)
        if task_type is None:
            raise TypeError(f"{task!r} is not marked with @implements")
        return task_type, task
    catalogue = load(settings.task_modules, diagnostics=True)
    return catalogue[task], implementations.collect(catalogue, settings.task_modules)[task]


def _work(task_type: TaskType[Any, Any], params: dict[str, Any], attempt: int, **given: Any) -> Claimed:
    return Claimed(
        claim=new_id(),
        name=task_type.name,
        queue=task_type.queue,
        params=params,
        version=task_type.version,
        attempt=attempt,
        failures=attempt - 1,
        max_attempts=task_type.retry.max_attempts,
        soft_timeout_seconds=task_type.soft_limit.total_seconds(),
        hard_timeout_seconds=task_type.hard_limit.total_seconds(),
        waited_seconds=0.0,
        tags=[],
        request_id=None,
        traceparent=None,
        allowed_queues=None,
        workflow_id=None,
        **given,
    )


def _in_this_thread(function: Function) -> Function:
    """Gives an `async def` function an event loop of its own."""
    if not inspect.iscoroutinefunction(function):
        return function

    def run(params: Any, context: TaskContext) -> Any:
        return asyncio.run(function(params, context))

    return run


def _no_database() -> AbstractContextManager[Connection]:
    raise TaskError("no_database", "This task needs PostgreSQL, and this run has none.", retryable=False)


@contextmanager
def _captured() -> Iterator[None]:
    """What the task prints and logs becomes lines of its log, as in a worker; put back afterwards."""
    root, stdout = logging.getLogger(), sys.stdout
    handler, level = capture._Handler(logging.INFO), root.level
    root.addHandler(handler)
    root.setLevel(min(level, logging.INFO))
    sys.stdout = capture._Stream(stdout)  # type: ignore[arg-type]
    try:
        # Without the runner's own log lines, which would get in between what a command prints.
        with structlog.testing.capture_logs():
            yield
    finally:
        sys.stdout = stdout
        root.setLevel(level)
        root.removeHandler(handler)


__all__ = ["TaskRun", "run_task"]
