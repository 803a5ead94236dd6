"""Run a task in this process, without any server: for tests of tasks, and for `taskyard-worker run-task`.

    run = run_task("diagnostics.echo", {"value": 1})
    assert run.result == {"value": 1}

The parameters go the way they go in production (checked, secrets encrypted and decrypted again), and the context and
the outcome are made by the worker's own code. Only the progress, the log lines, the children and the outcome are kept
here instead of in the ledger. No time limit is enforced.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.fernet import Fernet
from pydantic import BaseModel
from sqlalchemy import Connection, Engine

from ..catalogue import kits
from ..catalogue.secrets import Cipher
from ..catalogue.types import Catalogue, TaskType, type_of
from ..domain.errors import TaskError
from ..domain.ids import new_id
from ..domain.tasks import Failed, Outcome, RetryIn, Succeeded
from ..lifecycle.batch import check_storable
from ..lifecycle.claim import Claimed
from ..settings import Settings
from ..storage.interface import Storage
from ..storage.local import LocalStorage
from ..store import ledger
from . import capture, outcomes
from .attempt import Services, prepare
from .context import Child, TaskContext
from .submission import Maker, maker


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
    task: str | Callable[..., Any] | TaskType[Any, Any],
    params: Mapping[str, Any] | BaseModel,
    *,
    settings: Any = None,
    platform: Settings | None = None,
    storage: Storage | None = None,
    engine: Engine | None = None,
    attempt: int = 1,
    task_id: UUID | None = None,
    submitted_by: str | None = None,
) -> TaskRun:
    """Runs one attempt of `task`: a function decorated with @task, a task type, or the name of a type.

    `settings` becomes `context.settings`; without it, the settings of the task's kit are read from the environment.
    `platform` has the platform's own settings: its secret keys, queues and task modules. Without `storage`, files are
    in a directory that is gone afterwards; without `engine`, `context.db()` fails with the code `no_database`. Not to
    be called on a running event loop: use a thread there.

    Raises UnknownTaskType, pydantic.ValidationError and Unstorable, where a submit would be refused.
    """
    platform = (platform or Settings()).model_copy(update={"diagnostics": True})
    loaded = kits.load(platform)
    task_type = _find(task, loaded.catalogue)
    if settings is None:
        settings = _kit_settings(task_type, platform)
    keys = [key.get_secret_value() for key in platform.secret_keys]
    cipher = Cipher(keys or [Fernet.generate_key().decode()])
    if isinstance(params, BaseModel):
        stored = params.model_dump(mode="json", context={"cipher": cipher})
    else:
        stored = task_type.accept(params, cipher)
    check_storable(stored)
    work = _work(task_type, stored, attempt, id=task_id or new_id(), submitted_by=submitted_by)
    record = _Record(maker(platform, loaded.catalogue, cipher, loaded.queues))
    with ExitStack() as stack:
        if storage is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="taskyard-run-"))
            storage = LocalStorage(Path(directory))
        connect = partial(ledger.transaction, engine) if engine is not None else _no_database
        services = Services(storage, record.submit, connect)
        prepared = prepare(work, task_type, cipher, services, record, settings=settings)
        outcome = prepared if isinstance(prepared, Failed) else _run(task_type, work, *prepared)
    return TaskRun(work.id, outcome, record.told, record.stages, record.lines, record.children)


def _run(task_type: TaskType[Any, Any], work: Claimed, params: Any, context: TaskContext) -> Outcome:
    function = task_type.function
    assert function is not None
    with _captured(), capture.current(context):
        try:
            if task_type.is_async:
                returned = asyncio.run(function(params, context))
            else:
                returned = function(params, context)
            return outcomes.of_return(task_type, returned)
        except BaseException as e:  # noqa: BLE001 - SystemExit and interrupts are outcomes too
            return _failed(work, task_type, e, context)


def _failed(work: Claimed, task_type: TaskType[Any, Any], error: BaseException, context: TaskContext) -> Outcome:
    try:
        return outcomes.of_error(
            outcomes.root_of(error),
            task_type.retry,
            failures=work.failures + 1,
            max_attempts=work.max_attempts,
            redact=context.redact,
            vocabulary=task_type.vocabulary,
        )
    except Exception:  # noqa: BLE001 - the error's own code fails
        return outcomes.unspeakable(error)


class _Record:
    """Stands in for a worker's writer and submitter; `check` raises where the submitter would."""

    def __init__(self, check: Maker) -> None:
        self._check = check
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


def _find(task: str | Callable[..., Any] | TaskType[Any, Any], catalogue: Catalogue) -> TaskType[Any, Any]:
    task_type = catalogue[task] if isinstance(task, str) else type_of(task)
    if task_type is None or task_type.function is None:
        raise TypeError(f"{task!r} is no function decorated with @task")
    return task_type


def _kit_settings(task_type: TaskType[Any, Any], platform: Settings) -> Any:
    assert task_type.function is not None
    kit = kits.kit_of(task_type.function.__module__, platform)
    return None if kit is None else kits.settings_of(kit)


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
        yield
    finally:
        sys.stdout = stdout
        root.setLevel(level)
        root.removeHandler(handler)


__all__ = ["TaskRun", "run_task"]
