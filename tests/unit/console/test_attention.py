"""The overview's verdict: one sentence, its reasons, and the page that helps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from babel.support import NullTranslations

from taskyard_client import ErrorGroup, Health, Queue, Statistics
from taskyard_client.management_models import Broker, Schedule
from taskyard_console import attention

VISIT: Any = SimpleNamespace(words=NullTranslations(), language="en")
NOW = datetime(2026, 1, 31, tzinfo=UTC)


def health(**components: dict[str, Any]) -> Health:
    status = "degraded" if any(one["status"] != "healthy" for one in components.values()) else "healthy"
    return Health.model_validate({"status": status, "components": components})


def test_what_is_wrong_is_told_with_the_page_that_helps() -> None:
    found = health(
        workers={"status": "unhealthy", "reason": "no worker is alive"},
        last_check={"status": "degraded", "reason": "failed then: smtp", "task_id": "t-1"},
        scheduler={"status": "healthy", "tasks_unaccounted": 3},
    )
    reasons = list(attention.of_health(found, VISIT))
    assert [(reason.text, reason.path) for reason in reasons] == [
        ("Workers: no worker is alive", "/workers"),
        ("Last health check: failed then: smtp", "/tasks/t-1"),
        ("Redis has lost the messages of 3 tasks; they are published again.", "/broker"),
    ]
    assert attention.verdict(found, reasons, VISIT) == "Part of the platform does not work."


def test_a_healthy_platform_may_have_what_needs_a_look() -> None:
    sound = health(database={"status": "healthy"})
    assert attention.verdict(sound, [], VISIT) == "Everything works."
    assert attention.verdict(sound, [attention.Reason("x")], VISIT) == "Everything works; 1 thing needs a look."
    assert attention.verdict(None, [], VISIT) == "It is not known whether the platform works."
    assert attention.unaccounted(sound) is None


def test_what_was_not_read_is_not_said_to_work() -> None:
    sound = health(database={"status": "healthy"})
    assert attention.verdict(sound, [], VISIT, is_complete=False) == "It is not known whether everything works."
    broken = health(database={"status": "degraded"})
    assert attention.verdict(broken, [], VISIT, is_complete=False) == "Part of the platform does not work."


def test_queues_that_wait_for_people_are_told_and_those_that_wait_for_nothing_are_not() -> None:
    queues = [
        Queue(name="a/b", paused=True, paused_by="ops", depth={"queued": 1200}, workers=1),
        Queue(name="lonely", paused=False, depth={"queued": 1}, workers=0),
        Queue(name="held", paused=True, paused_by="ops", depth={"blocked": 30}, workers=1),
        Queue(name="empty", paused=True, depth={"running": 1}, workers=0),
        Queue(name="busy", paused=False, depth={"queued": 9}, workers=1),
        Queue(name="later", paused=True, paused_by="ops", depth={"retrying": 2, "scheduled": 3}, workers=1),
    ]
    assert [(reason.text, reason.path) for reason in attention.of_queues(queues, VISIT, NOW)] == [
        ("The queue a/b was paused by ops; tasks that wait: 1,200.", "/queues/a%2Fb"),
        ("No worker serves the queue lonely; tasks that wait: 1.", "/queues/lonely"),
        ("The queue held was paused by ops; tasks that wait: 30.", "/queues/held"),
        ("The queue later was paused by ops; tasks that wait: 5.", "/queues/later"),
    ]


@pytest.mark.parametrize(("minutes", "rate", "is_told"), [(6, 0.0, True), (6, 0.5, False), (4, 0.0, False)])
def test_a_queue_that_does_not_move_is_told_although_workers_serve_it(
    minutes: float, rate: float, is_told: bool
) -> None:
    queue = Queue.model_validate(
        {
            "name": "mail",
            "paused": False,
            "depth": {"queued": 5000},
            "workers": 3,
            "oldest_waiting_at": NOW - timedelta(minutes=minutes),
            "rate": {"finished_per_minute": rate},
        }
    )
    said = "No task of the queue mail has ended within five minutes; tasks that wait: 5,000."
    assert [reason.text for reason in attention.of_queues([queue], VISIT, NOW)] == [said] * is_told


def attempts(**types: tuple[int, int, int]) -> Statistics:
    """Of each type: how many succeeded, failed, and failed and were tried again."""
    times: dict[str, Any] = {"run": {}, "wait": {}}
    counts = [
        {"name": name, "succeeded": good, "failed": bad, "retried": again, "crashed": 0, "cancelled": 0, **times}
        for name, (good, bad, again) in types.items()
    ]
    none = {"succeeded": 0, "failed": 0, "retried": 0, "crashed": 0, "cancelled": 0, **times}
    series = {"window": "hour", "step_seconds": 60, "from": NOW, "to": NOW}
    return Statistics.model_validate({**series, "points": [], "totals": none, "types": counts, "errors": []})


def test_task_types_whose_attempts_fail_are_told_also_while_they_are_tried_again() -> None:
    told = attempts(sound=(90, 10, 0), few=(0, 9, 0), half=(10, 5, 5), broken=(0, 0, 1900))
    assert [(reason.text, reason.path) for reason in attention.of_attempts(told, VISIT)] == [
        ("1,900 attempts of broken failed within the last hour, 100% of all.", "/task-types/broken"),
        ("10 attempts of half failed within the last hour, 50% of all.", "/task-types/half"),
    ]


def test_many_failing_task_types_are_one_thing_to_look_at() -> None:
    told = attempts(**{f"t{n}": (0, 10, 0) for n in range(6)})
    assert [(reason.text, reason.path) for reason in attention.of_attempts(told, VISIT)] == [
        ("Most attempts of 6 task types failed within the last hour.", "/task-types")
    ]


def test_a_schedule_in_trouble_leads_to_its_task_or_to_the_reason_that_there_is_none() -> None:
    def schedule(name: str, **fire: Any) -> Schedule:
        at = "2026-11-30T01:00:00Z"
        made = {"id": uuid4(), "enabled": True, "version": 1, "created_at": at, "changed_at": at, "name": name}
        return Schedule.model_validate({**made, "last_fire": {"due_at": at, **fire}})

    failed, missed = schedule("import", outcome="submitted", task_id=uuid4()), schedule("report", outcome="misfired")
    last = failed.last_fire
    assert last is not None
    assert [tuple(reason) for reason in attention.of_schedules([failed, missed], VISIT)] == [
        ("The last task of the schedule import failed.", f"/tasks/{last.task_id}"),
        ("The schedule report had no task the last time.", f"/schedules/{missed.id}"),
    ]


def test_a_broker_that_is_nearly_full_and_errors_that_came_back_are_told() -> None:
    def broker(used: int, most: int | None) -> Broker:
        return Broker.model_validate({"status": "up", "server": {"used_bytes": used, "max_bytes": most}})

    assert [reason.text for reason in attention.of_broker(broker(90, 100), VISIT)] == ["Redis uses 90% of its memory."]
    assert list(attention.of_broker(broker(10, 100), VISIT)) == list(attention.of_broker(broker(9, None), VISIT)) == []
    group: Any = SimpleNamespace(id="g", code="boom", name="mail.send")
    returned: list[ErrorGroup] = [group]
    assert list(attention.of_errors(returned, VISIT)) == [
        ("An error that was solved is back: boom of mail.send.", "/errors/g")
    ]
