"""What the drill of alerts takes for granted, and how it judges: it itself takes two hours (`make drill-alerts`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml

from tests.alerts_drill.course import Course
from tests.alerts_drill.faults import FAULTS, Fault
from tests.alerts_drill.history import SERIES
from tests.alerts_drill.monitors import SHIPPED
from tests.alerts_drill.report import table
from tests.alerts_drill.watch import Seen

FAULT = Fault("redis-away", "RedisDown", "Redis is stopped", lambda _: pytest.fail("nothing is broken here"))
GOOD = Seen(pending=110.0, firing=170.0, notified=200.0, resolved=330.0)


def rules() -> Iterator[dict[str, Any]]:
    for file in (SHIPPED / "rules").glob("*.yml"):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


def course(fault: Fault = FAULT, **alerts: Seen) -> Course:
    return Course(fault, began=100.0, mended=300.0, alerts={f"{name} (page)": seen for name, seen in alerts.items()})


def test_each_fault_expects_an_alert_that_the_rules_have() -> None:
    alerts = {rule.get("alert") for rule in rules()}
    assert {fault.expected for fault in FAULTS if fault.expected} <= alerts


def test_the_history_has_series_that_the_rules_record() -> None:
    assert {series.partition("{")[0] for series in SERIES} <= {rule.get("record") for rule in rules()}


@pytest.mark.parametrize(
    ("judged", "wrong"),
    [
        (course(RedisDown=GOOD), []),
        (course(RedisDown=GOOD, Another=Seen(pending=110.0, firing=170.0)), []),
        (course(), ["RedisDown did not fire"]),
        (course(RedisDown=Seen(pending=110.0)), ["RedisDown did not fire"]),
        (course(RedisDown=replace(GOOD, notified=None)), ["nobody was told of RedisDown"]),
        (course(RedisDown=replace(GOOD, resolved=None)), ["RedisDown was not resolved"]),
        (replace(course(RedisDown=GOOD), fired_while_healthy=["X (page)"]), ["X (page) fired while all was well"]),
        (replace(course(RedisDown=GOOD), broken="no answer"), ["no answer"]),
        (course(replace(FAULT, expected=None)), []),
        (course(replace(FAULT, expected=None), X=GOOD), ["X (page) fired, and none may"]),
    ],
)
def test_the_drill_finds_what_is_wrong(judged: Course, wrong: list[str]) -> None:
    assert judged.wrong == wrong


def test_the_table_counts_from_the_fault_and_from_the_mend() -> None:
    another = Seen(pending=150.0, firing=190.0, was_inhibited=True)
    *_, row = table([course(RedisDown=GOOD, Another=another)])
    assert row == (
        "| redis-away: Redis is stopped | RedisDown | 10 | 70 | 100 | 30"
        " | Another (page) 90 inhibited not told still firing at the end |\n"
    )
