"""What becomes of the due times of one schedule that have passed: a plan, which `firing` carries out.

A due time is missed where it comes later than the grace time, within which a change of leaders stays, after the whole
jitter: one that is put off further than the next holds up the next. What happens then is the schedule's `misfire`:

- `skip`: what was missed is skipped.
- `once`: what was missed, and what has become due since, is made up for by one task, of the latest due time.
- `all`: each due time gets its task.

Where no live worker runs the type, a due time waits for one until its grace time is over, and so is that of the leader:
after a restart of everything, workers may come back later than the scheduler.

Older due times than `catch_up_seconds` are not made up for at all, and stand in one row of the ledger together. What
waits for a worker does not grow older.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from ..domain.ids import new_id
from ..domain.new_tasks import NewTask
from ..store.schedules import (
    COALESCED,
    MISFIRED,
    NO_LIVE_WORKER,
    OVERLAP,
    SUBMITTED,
    TOO_OLD,
    UNUSABLE,
    Fire,
    Schedule,
)
from .triggers import Times, jitter_of

# Due times of one schedule in one transaction; what is left comes in the next.
MOST_DUE = 500
_HELD = timedelta(seconds=1)
_UNUSABLE_HELD = timedelta(minutes=1)
# By how much longer than the grace time one may be held: the looks at it are a second apart, or more under load.
_LOOKS = timedelta(seconds=5)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a plan depends on, beside the schedule.

    `grace`: how much later a due time may come without being missed; `led`: for how long the leader has been leading;
    `has_worker`: a live worker runs the type; `is_running`: the schedule's last task has not ended; `fired`: due times
    from the cursor on that have a fire already. `most_due` and `most_tasks`, at least 1, bound the fires and their
    tasks; `once` exceeds `most_due` by what has become due since the last that was missed.
    """

    now: datetime
    grace: timedelta
    led: timedelta
    has_worker: bool
    is_running: bool
    fired: frozenset[datetime]
    most_due: int
    most_tasks: int

    def late(self, schedule: Schedule) -> datetime:
        """What was due before has been missed."""
        return self.now - self.grace - timedelta(seconds=schedule.jitter_seconds)

    @property
    def waits(self) -> bool:
        """For workers, which may come back later than the leader."""
        return not self.has_worker and self.led < self.grace

    @property
    def held(self) -> timedelta:
        """How long a due time may have waited for a worker: it does not grow older meanwhile."""
        most = self.grace + _LOOKS
        return timedelta(0) if self.has_worker and self.led >= most else min(self.led, most)


@dataclass(slots=True)
class Plan:
    """`next_due_at` is where the cursor goes; `is_cut`: more is due; `held_until`: it is looked at again then."""

    schedule: Schedule
    next_due_at: datetime | None
    fires: list[Fire] = field(default_factory=list)
    tasks: list[NewTask] = field(default_factory=list)
    is_cut: bool = False
    held_until: datetime | None = None

    @property
    def fires_at(self) -> datetime | None:
        return self.held_until or fires_at(self.schedule.id, self.next_due_at, self.schedule.jitter_seconds)

    def hold(self, due_at: datetime, until: datetime) -> None:
        """Leaves the cursor at this due time."""
        self.next_due_at, self.held_until = due_at, until


def fires_at(schedule_id: UUID, due_at: datetime | None, jitter_seconds: float) -> datetime | None:
    return None if due_at is None else due_at + jitter_of(schedule_id, due_at, jitter_seconds)


def plan(schedule: Schedule, times: Times, look: Look, *, make_id: Callable[[], UUID] = new_id) -> Plan:
    """Of a schedule whose `fires_at` has come."""
    made = Plan(schedule, schedule.next_due_at)
    late = look.late(schedule)
    _skip_old(made, times, look, late - look.held - timedelta(seconds=schedule.catch_up_seconds))
    due = _due(made, times, look, late)
    was_missed = bool(due) and due[0] < late
    for due_at in due:
        outcome = SUBMITTED
        if not look.has_worker:
            if look.waits or due_at >= late:  # a worker that starts anew may have it in a moment
                made.hold(due_at, look.now + _HELD)
                break
            outcome = NO_LIVE_WORKER
        elif schedule.misfire == "skip" and due_at < late:
            outcome = MISFIRED
        elif schedule.misfire == "once" and was_missed and (due_at != due[-1] or made.is_cut):
            outcome = COALESCED
        elif schedule.overlap == "skip" and (look.is_running or made.tasks):
            outcome = OVERLAP
        task_id = None
        if outcome == SUBMITTED:
            task_id = make_id()
            made.tasks.append(new_task(schedule, task_id))
        made.fires.append(Fire(schedule_id=schedule.id, due_at=due_at, outcome=outcome, task_id=task_id))
    return made


def unusable(schedule: Schedule, look: Look) -> Plan:
    """Where its due times cannot be computed. The cursor stays: another release or other time zones may read it."""
    made = Plan(schedule, schedule.next_due_at)
    if (due_at := schedule.next_due_at) is not None:
        # While it is not missed, often enough that it comes in time once it can be read.
        is_late = due_at < look.late(schedule)
        made.hold(due_at, look.now + (_UNUSABLE_HELD if is_late else _LOOKS))
        if is_late and due_at not in look.fired:
            made.fires.append(Fire(schedule_id=schedule.id, due_at=due_at, outcome=UNUSABLE))
    return made


def new_task(
    schedule: Schedule, task_id: UUID, *, request_id: str | None = None, traceparent: str | None = None
) -> NewTask:
    """The task of one due time, as it was admitted."""
    return NewTask(id=task_id, schedule_id=schedule.id, request_id=request_id, traceparent=traceparent, **schedule.task)


def _skip_old(made: Plan, times: Times, look: Look, too_old: datetime) -> None:
    """Moves the cursor past what is too old to be made up for, which is what was due before `too_old`."""
    first = made.next_due_at
    while first in look.fired:
        first = times.after(first)
    if first is None or first >= too_old:
        return
    end = too_old - _MICROSECOND
    second = times.after(first)
    until = None if second is None or second > end else end
    made.next_due_at = times.after(end)
    made.fires.append(Fire(schedule_id=made.schedule.id, due_at=first, until=until, outcome=TOO_OLD))


def _due(made: Plan, times: Times, look: Look, late: datetime) -> list[datetime]:
    """Moves the cursor past what is due, as far as it may be done at once. Where `once` has missed the first of them,
    what is left begins with one that was missed, too: so the last of all parts has the one task."""
    misfire, most_due = made.schedule.misfire, 1 if look.waits else min(look.most_due, MOST_DUE)
    found: list[datetime] = []
    tasks = 0
    while (due_at := made.next_due_at) is not None and (at := made.fires_at) is not None and at <= look.now:
        makes_up = misfire == "once" and bool(found) and found[0] < late
        if (len(found) >= most_due or tasks >= look.most_tasks) and not (makes_up and due_at >= late):
            made.is_cut = True
            break
        if due_at not in look.fired:
            found.append(due_at)
            tasks += not makes_up and (misfire == "all" or due_at >= late)
        made.next_due_at = times.after(due_at)
    return found
