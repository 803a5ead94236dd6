"""What tasks hand over in a real worker is refused by name, or stored as it is; and no task disturbs another."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.integration.worker.processes import LedgerFleet
from tests.support.fleet import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture
def hostile(workers: LedgerFleet) -> LedgerFleet:
    workers.fleet.environment["TASKYARD_TASK_MODULES"] += ",tests.support.hostile"
    return workers


def notes(workers: LedgerFleet, task_id: UUID) -> list[Any]:
    rows = workers.harness.query(
        "SELECT data FROM task_event WHERE task_id = :id AND kind IN ('log', 'stage') ORDER BY id", id=task_id
    )
    return [row.data["message"] for row in rows]


def test_what_no_text_can_be_made_of_delays_no_outcome(hostile: LedgerFleet) -> None:
    """The writer would repeat it for ever, and all outcomes of the child would wait."""
    hostile.fleet.start_worker(threads=1)
    odd = hostile.put("tests.hostile", do="say_what_is_no_text")
    assert hostile.wait([*odd, *hostile.put("tests.effect", 5)]) == ["succeeded"] * 6
    assert notes(hostile, odd[0]) == ["said", *["<Hostile that cannot be shown>"] * 2]


def test_a_progress_beyond_what_can_be_shown_is_refused_by_name_and_bound(hostile: LedgerFleet) -> None:
    hostile.fleet.start_worker(threads=1)
    (task,) = hostile.put("tests.hostile", do="report_too_much")
    assert hostile.wait([task]) == ["succeeded"]
    told = hostile.row(task).result["told"]
    assert len(told) == 6
    assert all(word.startswith("progress: total is ") for word in told)
    assert all("2**53" in word for word in told[:5])
    (row,) = hostile.harness.query("SELECT current, total FROM task_progress WHERE task_id = :id", id=task)
    assert (row.current, row.total) == (1, 2**53)


def test_an_error_whose_own_code_fails_has_its_type_and_traceback(hostile: LedgerFleet) -> None:
    hostile.fleet.start_worker(threads=1)
    unspeakable, numbers, retry = [
        hostile.put("tests.hostile", do=do)[0] for do in ("raise_unspeakable", "raise_numbers", "ask_for_a_retry")
    ]
    assert hostile.wait([unspeakable, numbers, retry]) == ["failed"] * 3
    errors = {i: hostile.row(i).error for i in (unspeakable, numbers, retry)}
    assert (errors[unspeakable]["type"], errors[unspeakable]["retryable"]) == ("Unspeakable", True)
    assert (errors[numbers]["code"], errors[numbers]["message"], errors[numbers]["retryable"]) == ("5", "6", True)
    assert errors[retry]["code"] == "retry_requested"
    rows = hostile.harness.query("SELECT traceback FROM task_attempt WHERE traceback IS NOT NULL")
    assert len([row for row in rows if "hostile.py" in row.traceback]) == 3


def test_prints_of_each_task_reach_its_own_log_whatever_the_others_do_to_standard_output(hostile: LedgerFleet) -> None:
    hostile.fleet.environment["PYTHONIOENCODING"] = "ascii:strict"
    hostile.fleet.start_worker(threads=3)
    (talking,) = hostile.put("tests.hostile", do="talk", seconds=2.0)
    wait_for(lambda: len(notes(hostile, talking)) == 3, 20, "the first lines")
    redirecting = hostile.put("tests.hostile", do="redirect", seconds=1.0)
    redirecting += hostile.put("tests.hostile", do="redirect", seconds=1.5)
    taking = hostile.put("tests.hostile", do="take_output_away")
    assert hostile.wait([talking, *redirecting, *taking]) == ["succeeded"] * 4
    (later,) = hostile.put("tests.hostile", do="talk")
    assert hostile.wait([later]) == ["succeeded"]
    for task in (talking, later):
        huge, *others = notes(hostile, task)
        assert huge.endswith("… [cut: the line has 3,000,000 characters]")
        assert others == ["ű \ufffd", "of a thread", "the last"]
    assert [hostile.row(i).result["told"] for i in redirecting] == ["kept\n"] * 2
    assert [notes(hostile, i) for i in (*redirecting, *taking)] == [[]] * 3
    assert "\\u0171 \\udcff" in hostile.fleet.logs()
