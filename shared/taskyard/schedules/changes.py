"""What people do with schedules: each a verb with its audit row, used by the API, commands and standing schedules.

Call them in a transaction. Every change is guarded by the schedule's version, and takes effect at the leader's next
look, which is within a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from ..admission.invalid import Invalid
from ..domain.errors import Conflict, Refused
from ..domain.faults import Fault
from ..domain.ids import new_id
from ..domain.messages import message
from ..domain.new_tasks import NewTask
from ..lifecycle.committed import Committed
from ..lifecycle.submit import SubmittedTask, submit
from ..store import audit, schedules
from ..store.audit import Action, Actor
from ..store.schedules import SUBMITTED, Fire, Schedule
from .planning import fires_at, new_task
from .triggers import Times, times_of

# Of a task, what differs at each due time.
_OF_ONE = (
    *("id", "delay_seconds", "run_at", "expires_at", "unique", "request_id", "traceparent"),
    *("workflow_id", "schedule_id", "parent_id"),
)
_TIMES = ("trigger", "start_at", "end_at", "jitter_seconds", "enabled")
# What may be the reason that nothing is due any more, the likeliest first.
_CAN_END = ("trigger", "end_at", "start_at", "enabled")


class NameTaken(Refused):
    """Another schedule has the name."""

    code = "name_taken"

    def __init__(self) -> None:
        super().__init__(message("Another schedule has this name."))


class Trial(NamedTuple):
    """A trigger with its bounds, not saved."""

    trigger: Mapping[str, Any]
    start_at: datetime | None = None
    end_at: datetime | None = None


def template_of(task: NewTask) -> dict[str, Any]:
    """An admitted task as a schedule keeps it."""
    stored: dict[str, Any] = orjson.loads(orjson.dumps(task))
    return {name: value for name, value in stored.items() if name not in _OF_ONE}


def times(schedule: Schedule) -> Times:
    return times_of(schedule.trigger, schedule.anchored_at, schedule.start_at, schedule.end_at)


def next_fires(schedule: Schedule, count: int) -> list[datetime]:
    """The due times that come, without jitter; none while it is paused."""
    first = schedule.next_due_at
    if first is None:
        return []
    try:
        return [first, *times(schedule).following(first, count - 1)]
    except ValueError:  # the next fire tells that it is unusable
        return [first]


def preview(trial: Trial, count: int, now: datetime) -> list[datetime]:
    """Raises Invalid where there is none."""
    found = [*times_of(trial.trigger, _whole(now), trial.start_at, trial.end_at).following(now, count)]
    if not found:
        raise _never(trial)
    return found


def create(conn: Connection, wanted: Mapping[str, Any], task: NewTask, by: Actor) -> Schedule:
    """`wanted` as `ScheduleBody` has it, with the trigger as it is stored, and `source`. Raises Invalid, NameTaken."""
    schedule_id = new_id()
    values = {**wanted, **_of_task(task), "id": schedule_id, "created_by": by.name}
    values |= _cursor(schedule_id, values, schedules.now(conn))
    made = schedules.insert(conn, values)
    if made is None:
        raise NameTaken
    audit.record(conn, by, Action.SCHEDULE_CREATE, made.id, name=made.name, task=made.task_name)
    return made


def change(
    conn: Connection, schedule: Schedule, changes: Mapping[str, Any], task: NewTask | None, by: Actor
) -> Schedule:
    """`changes` as in `create`, without what stays; `schedule` has to be locked, so that the leader does not move its
    cursor. Raises Invalid, NameTaken, and Conflict where it was changed meanwhile."""
    values = {**changes, **({} if task is None else _of_task(task))}
    if not values:
        return schedule
    moved = {name for name in _TIMES if name in changes and changes[name] != getattr(schedule, name)}
    if moved:
        values |= _moved(schedule, changes, moved, schedules.now(conn))
    try:
        with conn.begin_nested():
            changed = schedules.change(conn, schedule.id, schedule.version, values)
    except IntegrityError as e:
        raise NameTaken from e
    if changed is None:
        raise changed_meanwhile()
    audit.record(conn, by, _action(schedule, changed), schedule.id, name=changed.name, changed=sorted(values))
    return changed


def switch(conn: Connection, schedule: Schedule, *, enabled: bool, by: Actor) -> Schedule:
    """Pauses or resumes it; as it is already: changes nothing. Raises Invalid where nothing would be due any more."""
    return schedule if schedule.enabled == enabled else change(conn, schedule, {"enabled": enabled}, None, by)


def delete(conn: Connection, schedule: Schedule, by: Actor) -> None:
    """Raises Conflict where it was changed meanwhile."""
    if schedules.delete(conn, schedule.id, schedule.version) is None:
        raise changed_meanwhile()
    audit.record(conn, by, Action.SCHEDULE_DELETE, schedule.id, name=schedule.name)


def trigger(
    conn: Connection,
    schedule: Schedule,
    by: Actor,
    *,
    request_id: str | None = None,
    traceparent: str | None = None,
) -> Committed[Fire]:
    """Submits its task now, also while it is paused; `schedule` has to be locked. Raises Conflict where the last task
    still runs and the schedule allows one at a time."""
    if schedule.overlap == "skip" and schedules.is_running(conn, schedule.last_task_id):
        raise Conflict(message("The last task of this schedule has not ended."), state="running")
    task = new_task(schedule, new_id(), request_id=request_id, traceparent=traceparent)
    done: Committed[list[SubmittedTask]] = submit(conn, [task])
    row = conn.execute(_BY_HAND, {"schedule_id": schedule.id, "task_id": task.id, "outcome": SUBMITTED}).one()
    audit.record(conn, by, Action.SCHEDULE_TRIGGER, schedule.id, name=schedule.name, task_id=str(task.id))
    return done.answering(Fire(**row._mapping, task_state=done.answer[0].state))


# The row is locked, so that two calls never have the same microsecond.
_BY_HAND = sa.text("""
WITH marked AS (
    UPDATE schedule SET last_task_id = :task_id WHERE id = :schedule_id
)
INSERT INTO schedule_fire (schedule_id, due_at, outcome, task_id, by_hand)
VALUES (:schedule_id, clock_timestamp(), :outcome, :task_id, true)
RETURNING *
""")


def _of_task(task: NewTask) -> dict[str, Any]:
    template = template_of(task)
    return {
        "task": template,
        "task_bytes": len(orjson.dumps(template)),
        "task_name": task.name,
        "queue": task.queue,
    }


def _moved(schedule: Schedule, changes: Mapping[str, Any], moved: AbstractSet[str], now: datetime) -> dict[str, Any]:
    """The columns that follow from the times that differ, `moved`. What is due and not fired yet stays due, up to a new
    end, unless the schedule begins anew. Raises Invalid."""
    after = {name: getattr(schedule, name) for name in (*_TIMES, "anchored_at")} | dict(changes)
    if "trigger" in moved:
        del after["anchored_at"]  # an interval begins anew
    begins_anew = bool(moved & {"trigger", "start_at"}) or not schedule.enabled
    due_at, end_at = schedule.next_due_at, after["end_at"]
    is_due = due_at is not None and due_at <= now and (end_at is None or due_at <= end_at)
    return _cursor(schedule.id, after, now, moved, due_at=due_at if is_due and not begins_anew else None)


def _cursor(
    schedule_id: UUID,
    values: Mapping[str, Any],
    now: datetime,
    given: AbstractSet[str] = frozenset(_TIMES),
    *,
    due_at: datetime | None = None,
) -> dict[str, Any]:
    """The columns that follow from when it is due; `due_at`: what is due already. Raises Invalid, about one of the
    fields that are `given`."""
    start_at, end_at = values["start_at"], values["end_at"]
    if start_at is not None and end_at is not None and end_at < start_at:
        if "end_at" in given:
            raise Invalid([Fault("/end_at", message("Must not be earlier than `start_at`."))])
        raise Invalid([Fault("/start_at", message("Must not be later than `end_at`."))])
    anchor = values.get("anchored_at") or _whole(now)
    found = due_at or times_of(values["trigger"], anchor, start_at, end_at).after(now)
    if found is None and values["enabled"] and (blamed := [name for name in _CAN_END if name in given]):
        raise _never(Trial(values["trigger"], start_at, end_at), blamed[0])
    next_due_at = found if values["enabled"] else None
    return {
        "anchored_at": anchor,
        "next_due_at": next_due_at,
        "fires_at": fires_at(schedule_id, next_due_at, values["jitter_seconds"]),
    }


def _whole(now: datetime) -> datetime:
    """Intervals count from whole seconds: what is due at the same time then is."""
    return now.replace(microsecond=0)


def _never(trial: Trial, blamed: str = "trigger") -> Invalid:
    if blamed == "trigger" and "at" in trial.trigger:
        bounded = trial.start_at is not None or trial.end_at is not None
        told = message("Must lie between `start_at` and `end_at`.") if bounded else message("This time has passed.")
        return Invalid([Fault("/trigger/at", told)])
    return Invalid([Fault(f"/{blamed}", message("It is never due between now and its end."))])


def _action(before: Schedule, after: Schedule) -> Action:
    if before.enabled == after.enabled:
        return Action.SCHEDULE_CHANGE
    return Action.SCHEDULE_RESUME if after.enabled else Action.SCHEDULE_PAUSE


def changed_meanwhile() -> Conflict:
    return Conflict(message("This schedule was changed meanwhile: read it again."), state="changed")
