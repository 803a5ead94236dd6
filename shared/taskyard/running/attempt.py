"""From a claimed task to what its function is called with."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..catalogue.secrets import Cipher, SecretsUnreadable, opened, revealed, texts_of
from ..catalogue.types import TaskType
from ..domain.tasks import Failed
from ..lifecycle.claim import Claimed
from ..storage.interface import Storage
from . import outcomes
from .attributes import NO_ATTRIBUTES, Attributes
from .batches import KeptMarks, Marks
from .context import Interrupts, Sink, Submitter, TaskContext
from .database import Database
from .scratch import Scratch
from .speaker import current
from .speech import strike_out
from .upkeep import NO_UPKEEP, NoUpkeep, Upkeep
from .webhooks import NO_WEBHOOKS, NoWebhooks, Webhooks


@dataclass(frozen=True, slots=True)
class Services:
    """What a `TaskContext` offers beside what the task reports. `database` is that of `context.db()`, `memory_bytes`
    what this process may have, `temp_dir` where attempts get a directory each."""

    storage: Storage
    submitter: Submitter
    database: Database
    memory_bytes: int | None = None
    temp_dir: Path | None = None
    webhooks: Webhooks | NoWebhooks = NO_WEBHOOKS
    marks: Marks = field(default_factory=KeptMarks)
    upkeep: Upkeep | NoUpkeep = NO_UPKEEP
    attributes: Attributes = NO_ATTRIBUTES


def scratch_of(work: Claimed, temp_dir: Path | None) -> Scratch:
    """Named by task and attempt: tasks that were claimed together share the claim's id."""
    return Scratch(temp_dir, work.id, work.attempt)


def prepare(
    work: Claimed,
    task_type: TaskType[Any, Any],
    cipher: Cipher,
    services: Services,
    sink: Sink,
    *,
    settings: Any = None,
    soft_deadline: float = float("inf"),
    interrupts: Interrupts | None = None,
    storage: Storage | None = None,
    shield: AbstractContextManager[None] | None = None,
    scratch: Scratch | None = None,
) -> tuple[Any, TaskContext] | Failed:
    """The parameters and the context of an attempt; a failure where the stored parameters cannot be read.

    `settings` are those of the type's kit; `soft_deadline` is on the clock of `time.monotonic()`; `storage` replaces
    that of the services, `scratch` the directory in theirs.
    """
    if work.unresolved is not None:
        return outcomes.invalid(work.unresolved, parameter=work.unresolved_at)
    try:
        plain, secrets = opened(work.params, cipher)
    except SecretsUnreadable as e:
        return outcomes.unreadable(e)
    if settings is not None:
        secrets.extend(texts_of(settings))

    def context(texts: Iterable[str]) -> TaskContext:
        return TaskContext(
            task_id=work.id,
            claim=work.claim,
            name=work.name,
            attempt=work.attempt,
            settings=settings,
            storage=services.storage if storage is None else storage,
            scratch=scratch or scratch_of(work, services.temp_dir),
            sink=sink,
            submitter=services.submitter,
            database=services.database,
            webhooks=services.webhooks,
            marks=services.marks,
            upkeep=services.upkeep,
            memory_bytes=services.memory_bytes,
            soft_deadline=soft_deadline,
            tags=work.tags,
            request_id=work.request_id,
            attributes=services.attributes,
            traceparent=services.attributes.traceparent(work.id, work.attempt) or work.traceparent,
            submitted_by=work.submitted_by,
            allowed_queues=work.allowed_queues,
            workflow_id=work.workflow_id,
            redact=strike_out([*texts]),
            interrupts=interrupts,
            shield=nullcontext() if shield is None else shield,
        )

    if work.version < task_type.version and task_type.upgrade is not None:
        # What the upgrade prints and logs is the task's, without secrets.
        with current(context(secrets)):
            try:
                plain = task_type.upgraded(plain, work.version)
            except BaseException as e:  # noqa: BLE001 - the type's own code; another attempt would not help
                return outcomes.not_upgraded(e, work.version, strike_out(secrets))
    try:
        with current(context(secrets)) if secrets else nullcontext():
            params = task_type.validated(plain, cipher)
    except BaseException as e:  # noqa: BLE001 - the model's own code runs here, and its error may quote a secret
        return outcomes.unreadable(e, strike_out(secrets))
    return params, context([*secrets, *revealed(params)])
