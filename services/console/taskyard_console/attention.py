"""What is wrong with the platform, or may become so: what matters most is first, each with the page that helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from taskyard_client import ErrorGroup, Health, Queue, Statistics
from taskyard_client.management_models import Broker, Component, Schedule
from taskyard_client.over_time_models import Counts

from .formats import Formats

if TYPE_CHECKING:
    from .parts import Part
    from .visits import Visit

# The alert on Redis's memory rings there, too.
_FULL = 0.8
# Of a task type: as many as the alert on its failures counts; fewer say little.
_FAILURES, _FAILED_SHARE = 10, 0.5
_MOST_TYPES = 5
# As the API measures the rate of a queue.
_RATE_WINDOW = timedelta(minutes=5)


class Reason(NamedTuple):
    """`path`: of the page that helps; empty where there is none."""

    text: str
    path: str = ""


def verdict(health: Health | None, reasons: Sequence[Reason], visit: Visit, *, is_complete: bool = True) -> str:
    """One sentence. `is_complete`: all was read that reasons come from."""
    _ = visit.words.gettext
    match None if health is None else health.status:
        case "unhealthy":
            return _("The platform does not work.")
        case "degraded":
            return _("Part of the platform does not work.")
        case "healthy" if not is_complete:
            return _("It is not known whether everything works.")
        case "healthy" if reasons:
            said = visit.words.ngettext(
                "Everything works; %(count)s thing needs a look.",
                "Everything works; %(count)s things need a look.",
                len(reasons),
            )
            return said % {"count": len(reasons)}
        case "healthy":
            return _("Everything works.")
    return _("It is not known whether the platform works.")


def of_unread(parts: Mapping[str, Part[Any]]) -> Iterator[Reason]:
    """`parts`: by what they tell of."""
    for title, one in parts.items():
        if one.value is None:
            yield Reason(f"{title}: {one.said}")


def of_health(health: Health, visit: Visit) -> Iterator[Reason]:
    _ = visit.words.gettext
    titles = {
        "database": (_("PostgreSQL"), ""),
        "redis": (_("Redis"), "/broker"),
        "cache": (_("Cache"), ""),
        "workers": (_("Workers"), "/workers"),
        "scheduler": (_("Scheduler"), ""),
        "outbox": (_("Outbox"), "/broker"),
        "last_check": (_("Last health check"), ""),
    }
    for name, component in health.components.items():
        if component.status != "healthy":
            title, path = titles.get(name, (name, ""))
            yield Reason(f"{title}: {component.reason or component.status}", path or _task_of(component))
    if lost := unaccounted(health):
        said = visit.words.ngettext(
            "Redis has lost the message of %(count)s task; it is published again.",
            "Redis has lost the messages of %(count)s tasks; they are published again.",
            lost,
        )
        yield Reason(said % {"count": Formats(visit.language).number(lost)}, "/broker")


def unaccounted(health: Health) -> int | None:
    """Queued tasks that Redis did not know of; None where it is not known."""
    scheduler = health.components.get("scheduler")
    found = None if scheduler is None else scheduler.as_sent().get("tasks_unaccounted")
    return None if found is None else int(found)


def of_queues(queues: Sequence[Queue], visit: Visit, now: datetime) -> Iterator[Reason]:
    _, formats = visit.words.gettext, Formats(visit.language)
    for queue in queues:
        waiting = queue.depth.get("queued", 0)
        if queue.paused:  # what a limit holds, and what is due later, waits for the pause, too
            waiting += sum(queue.depth.get(state, 0) for state in ("blocked", "retrying", "scheduled"))
        if not waiting:
            continue
        values = {"queue": queue.name, "count": formats.number(waiting), "by": queue.paused_by or "?"}
        if queue.paused:
            said = _("The queue %(queue)s was paused by %(by)s; tasks that wait: %(count)s.")
        elif queue.workers == 0:
            said = _("No worker serves the queue %(queue)s; tasks that wait: %(count)s.")
        elif is_stuck(queue, now):
            said = _("No task of the queue %(queue)s has ended within five minutes; tasks that wait: %(count)s.")
        else:
            continue
        yield Reason(said % values, f"/queues/{quote(queue.name, safe='')}")


def is_behind(queue: Queue, now: datetime) -> bool:
    """Whether something has waited for as long as the rate is measured. What was idle before has a rate that says
    nothing of how fast the queue moves."""
    oldest = queue.oldest_waiting_at
    return oldest is not None and now - oldest >= _RATE_WINDOW and not queue.paused and bool(queue.workers)


def is_stuck(queue: Queue, now: datetime) -> bool:
    """Whether workers serve the queue, tasks wait, and none has ended for as long as the rate is measured."""
    return is_behind(queue, now) and not queue.rate.finished_per_minute


def of_attempts(told: Statistics, visit: Visit) -> Iterator[Reason]:
    """Task types most of whose attempts fail, also those that are tried again. `told`: of the last hour."""
    words, formats = visit.words, Formats(visit.language)
    failing = sorted((one for one in told.types if _is_failing(one)), key=lambda one: -_failures(one))
    if len(failing) > _MOST_TYPES:
        said = words.gettext("Most attempts of %(count)s task types failed within the last hour.")
        yield Reason(said % {"count": formats.number(len(failing))}, "/task-types")
        return
    for one in failing:
        said = words.gettext("%(count)s attempts of %(name)s failed within the last hour, %(share)s of all.")
        values = {"count": formats.number(_failures(one)), "share": formats.percent(_failures(one) / _ended(one))}
        yield Reason(said % {**values, "name": one.name}, f"/task-types/{quote(one.name, safe='')}")


def _is_failing(counts: Counts) -> bool:
    return _failures(counts) >= max(_FAILURES, _FAILED_SHARE * _ended(counts))


def _failures(counts: Counts) -> int:
    return counts.failed + counts.retried + counts.crashed


def _ended(counts: Counts) -> int:
    return _failures(counts) + counts.succeeded


def of_schedules(troubled: Sequence[Schedule], visit: Visit) -> Iterator[Reason]:
    _ = visit.words.gettext
    for schedule in troubled:
        last = schedule.last_fire
        if last is not None and last.task_id is not None:
            said, path = _("The last task of the schedule %(name)s failed."), f"/tasks/{last.task_id}"
        else:
            said, path = _("The schedule %(name)s had no task the last time."), f"/schedules/{schedule.id}"
        yield Reason(said % {"name": schedule.name}, path)


def of_broker(broker: Broker, visit: Visit) -> Iterator[Reason]:
    share = memory_share(broker)
    if share is not None and is_full(broker):
        said = visit.words.gettext("Redis uses %(share)s of its memory.")
        yield Reason(said % {"share": Formats(visit.language).percent(share)}, "/broker")


def memory_share(broker: Broker) -> float | None:
    server = broker.server
    return None if server is None or not server.max_bytes else server.used_bytes / server.max_bytes


def is_full(broker: Broker) -> bool:
    share = memory_share(broker)
    return share is not None and share >= _FULL


def of_errors(returned: Sequence[ErrorGroup], visit: Visit) -> Iterator[Reason]:
    said = visit.words.gettext("An error that was solved is back: %(code)s of %(name)s.")
    for group in returned:
        yield Reason(said % {"code": group.code, "name": group.name}, f"/errors/{group.id}")


def _task_of(component: Component) -> str:
    """The check that found it."""
    task_id = component.as_sent().get("task_id")
    return "" if task_id is None else f"/tasks/{task_id}"
