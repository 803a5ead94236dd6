"""What a file of schedules changes: found first, told as a diff, and then done in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection

from taskyard.admission.admit import UNKNOWN_TYPE, admit
from taskyard.admission.invalid import Invalid
from taskyard.admission.wishes import PlainCaller, Served
from taskyard.catalogue.registry import TypeRegistry
from taskyard.catalogue.secrets import Cipher, masked, opened
from taskyard.catalogue.types import advice
from taskyard.domain.faults import Fault
from taskyard.domain.messages import verbatim
from taskyard.domain.new_tasks import NewTask
from taskyard.schedules import changes
from taskyard.schedules.bodies import ScheduleBody
from taskyard.schedules.triggers import times_of
from taskyard.settings import Settings
from taskyard.store import fleet, schedules, task_types
from taskyard.store.audit import Actor
from taskyard.store.schedules import Schedule

from .schedule_file import FileRefused, ScheduleFile

_SHOWN = 120
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# What differs with who applies a file, and with settings: no reason for a change.
_NOT_COMPARED = {"submitted_by", "life_seconds"}


@dataclass(frozen=True, slots=True)
class Change:
    """One of the file's schedules: `before` None: new; `wanted` None: to be deleted; otherwise what `differs`."""

    name: str
    before: Schedule | None
    wanted: Mapping[str, Any] | None
    task: NewTask | None = None
    differs: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        if self.wanted is None:
            return [f"- {self.name}"]
        if self.before is None:
            return [f"+ {self.name}", *(f"    {name}: {_short(after)}" for name, (_, after) in self.differs.items())]
        changed = (f"    {name}: {_short(b)} -> {_short(a)}" for name, (b, a) in self.differs.items())
        return [f"~ {self.name}", *changed]


@dataclass(frozen=True, slots=True)
class Found:
    """`left_out`: the names of what cannot be made because it would never be due any more."""

    changes: list[Change]
    left_out: list[str]


def found(conn: Connection, file: ScheduleFile, settings: Settings, cipher: Cipher, by: Actor, *, prune: bool) -> Found:
    """In the order of the file, then what is deleted. Raises FileRefused, SecretsUnreadable."""
    tasks = _admitted(conn, file, settings, cipher, by)
    source = f"file:{file.source}"
    existing = schedules.by_names(conn, [body.name for body in file.schedules])
    made: list[Change] = []
    left_out: list[str] = []
    now = schedules.now(conn)
    for body, task in zip(file.schedules, tasks, strict=True):
        before = existing.get(body.name)
        if before is None and _is_over(body, now):
            left_out.append(body.name)
            continue
        wanted = {**body.model_dump(exclude={"task"}), "trigger": body.trigger.stored(), "source": source}
        if before is not None and "enabled" not in body.model_fields_set:
            del wanted["enabled"]  # whoever paused it meant it
        differs = _differences(before, wanted, task, cipher)
        if differs:
            made.append(Change(body.name, before, wanted, task, differs))
    if prune:
        kept = {body.name for body in file.schedules}
        gone = [one for one in schedules.of_source(conn, source) if one.name not in kept]
        made += [Change(one.name, one, None) for one in sorted(gone, key=lambda one: one.name)]
    return Found(made, left_out)


def carry_out(conn: Connection, file: ScheduleFile, wanted: Sequence[Change], by: Actor) -> None:
    """All or nothing; in a transaction. Raises FileRefused, and Conflict where a schedule was changed meanwhile."""
    fresh = _locked(conn, [one.before for one in wanted if one.before is not None])
    places = {body.name: f"/schedules/{n}" for n, body in enumerate(file.schedules)}
    for one in wanted:
        try:
            match one:
                case Change(before=Schedule(), wanted=None):
                    changes.delete(conn, fresh[one.name], by)
                case Change(before=Schedule(), wanted=dict(values)):
                    given = {name: value for name, value in values.items() if name in one.differs}
                    changes.change(conn, fresh[one.name], given, one.task if _task_differs(one) else None, by)
                case Change(wanted=dict(values), task=NewTask() as task):
                    changes.create(conn, values, task, by)
        except Invalid as e:
            raise FileRefused(*(file.told(_at(places[one.name], fault)) for fault in e.faults)) from None


def _locked(conn: Connection, seen: Sequence[Schedule]) -> dict[str, Schedule]:
    """By name, as they are now: the leader has moved their cursors since. Raises Conflict where one was changed."""
    found = schedules.by_names(conn, [one.name for one in seen], lock=True)
    versions = {name: (one.id, one.version) for name, one in found.items()}
    if any(versions.get(one.name) != (one.id, one.version) for one in seen):
        raise changes.changed_meanwhile()
    return found


def _is_over(body: ScheduleBody, now: datetime) -> bool:
    """Whether all its due times have passed, as on a new installation of an old file."""
    times = times_of(body.trigger.stored(), _LONG_AGO, body.start_at, body.end_at)
    return body.enabled and times.after(now) is None and times.after(_LONG_AGO) is not None


def _admitted(conn: Connection, file: ScheduleFile, settings: Settings, cipher: Cipher, by: Actor) -> list[NewTask]:
    registry = _registry(conn, {body.task.name for body in file.schedules}, settings)
    queues = fleet.queue_names(conn) | set(settings.queues)
    caller, now = PlainCaller(by.name), schedules.now(conn)
    tasks: list[NewTask] = []
    faults: list[Fault] = []
    for n, body in enumerate(file.schedules):
        place, wish = f"/schedules/{n}/task", body.task.submit
        spec = registry.admitting(wish.name)
        if spec is None:
            faults.append(Fault(f"{place}/name", advice(wish.name, task_types.names(conn)), UNKNOWN_TYPE))
            continue
        served = Served(known=queues, by_type=registry.queues_serving(wish.name))
        task = admit(wish, spec, caller, cipher=cipher, life=settings.task_life, now=now, served=served, prefix=place)
        if isinstance(task, NewTask):
            tasks.append(task)
        else:
            faults += task
    if faults:
        raise FileRefused(*(file.told(fault) for fault in faults))
    return tasks


def _registry(conn: Connection, names: Collection[str], settings: Settings) -> TypeRegistry:
    """Of these types only: compiling all of them would take a second."""
    found = [task_types.read(conn, lease=settings.worker_lease, name=name) for name in sorted(names)]
    specs = [spec for one in found for spec in one.specs.values()]
    return TypeRegistry.compile(specs, [live for one in found for live in one.live])


def _differences(
    before: Schedule | None, wanted: Mapping[str, Any], task: NewTask, cipher: Cipher
) -> dict[str, tuple[Any, Any]]:
    """By field; those of the task as `task.NAME`, with secrets masked. Raises SecretsUnreadable."""
    old: dict[str, Any] = {name: None if before is None else getattr(before, name) for name in wanted}
    found = {name: (old[name], value) for name, value in wanted.items() if old[name] != value and name != "name"}
    template = changes.template_of(task)
    stored = {} if before is None else before.task
    for name, value in template.items():
        kept = stored.get(name)
        if name not in _NOT_COMPARED and opened(kept, cipher)[0] != opened(value, cipher)[0]:
            found[f"task.{name}"] = masked(kept), masked(value)
    return found


def _task_differs(one: Change) -> bool:
    return any(name.startswith("task.") for name in one.differs)


def _at(place: str, fault: Fault) -> Fault:
    return Fault(place + fault.pointer, verbatim(str(fault.message)), fault.code)


def _short(value: Any) -> str:
    text = orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
