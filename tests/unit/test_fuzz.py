"""What `make fuzz` looks for is found where it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from tests.fuzz.corpus import Body, bodies, mails, tasks, wire
from tests.fuzz.corpus.images import IMAGES
from tests.fuzz.mutation import changed_bytes, changed_json, segments
from tests.fuzz.stand import Notes
from tests.fuzz.tasks import PLACES, RAISED, VALUES
from tests.fuzz.verdict import judge_ends, judge_log

SECRET = "magpie-0"


def found(*lines: object, expected: dict[str, Body] | None = None) -> list[str]:
    notes = Notes(SECRET, expected=expected or {})
    judge_log(notes, "worker", [line if isinstance(line, str) else json.dumps(line) for line in lines])
    return [finding.what for finding in notes.findings]


def died(task_id: str) -> dict[str, Any]:
    return {"event": "child_died", "running": [f"tests.fuzz.end_process:{task_id}"]}


def test_tracebacks_of_a_service_are_found_and_those_of_tasks_are_not() -> None:
    assert found({"event": "x", "exception": "Traceback (most recent call last):\n"}) == [
        "no traceback in the log of worker"
    ]
    assert found("Traceback (most recent call last):") == ["no traceback in the log of worker"]
    own = {"event": "task_failed", "traceback": "Traceback (most recent call last):\n"}
    assert found(own, "printed", "[1]", {"event": "child_ended"}) == []


def test_a_secret_in_a_log_is_found() -> None:
    assert found({"event": "x", "what": f"a{SECRET}b"}, SECRET) == ["the log of worker"] * 2


def test_a_process_may_end_only_where_a_task_in_it_says_so() -> None:
    expected = {"1": tasks.ENDS_PROCESS[0], "2": tasks.SPEAK}
    assert found(died("1"), expected=expected) == []
    wrong = ["a process ends only where its task says so"]
    for event in (died("2"), died("3"), {**died("3"), "running": []}, {"event": "child_killed", "why": "stuck"}):
        assert found(event, expected=expected) == wrong


@pytest.mark.parametrize(
    ("one", "row", "is_wrong"),
    [
        (tasks.SPEAK, ("succeeded", None), False),
        (tasks.SPEAK, ("failed", {"code": "task_exception"}), True),
        (tasks.SPEAK, None, True),
        (tasks.ENDS_PROCESS[0], ("failed", {"code": "crash_limit"}), False),
        (tasks.hands_secret("log", SECRET), ("failed", {"code": "task_exception"}), False),
        (tasks.hands_secret("log", SECRET), ("failed", {"code": "crash_limit"}), True),
    ],
)
def test_an_end_that_is_not_the_entrys_is_found(one: Body, row: Any, is_wrong: bool) -> None:
    notes = Notes(SECRET, expected={"1": one})
    judge_ends(notes, {} if row is None else {"1": row})
    assert bool(notes.findings) == is_wrong


def test_entries_have_names_of_their_own_and_a_promise() -> None:
    sent = (*bodies.BODIES, *mails.MAILS, *tasks.TASKS, *tasks.ENDS_PROCESS)
    for entries in (wire.WIRES, IMAGES, sent):
        assert all(one.promise for one in entries)
        assert len({(one.name, one.promise) for one in entries}) == len(entries)
    for one in tasks.TASKS:
        params = json.loads(one.body)["params"]
        assert params.get("place", "log") in PLACES
        assert params.get("value", "none") in VALUES
        assert params.get("what", "SystemExit") in RAISED


@given(segments(changed_bytes([wire.SUBMIT, wire.LIVE])), changed_json((*bodies.FULL, *mails.FULL)))
@settings(max_examples=20)
def test_mutations_are_bytes(pieces: tuple[bytes, ...], body: tuple[str, bytes]) -> None:
    assert all(isinstance(piece, bytes) for piece in (*pieces, body[1]))
    assert body[0].startswith("/api/v1/")
