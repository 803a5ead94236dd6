"""The timeline in words, the stages of cancelling, attempts side by side, and the lines of the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from taskyard_client import TimelineEvent
from taskyard_console.attempts import attempts_of, compared, lines_of, place_of
from taskyard_console.report import cancelling, report
from taskyard_console.words import read_catalogues

WORDS = read_catalogues()["en"]
START = datetime(2026, 1, 1, tzinfo=UTC)
TRACEBACK = 'Traceback:\n  File "a.py", line 1, in run\n    go()\n  File "b.py", line 2, in go\n    boom()\nKeyError'


def event(second: float, kind: str, attempt: int = 0, **data: Any) -> TimelineEvent:
    at = START + timedelta(seconds=second)
    return TimelineEvent(id=f"{attempt}.0.{int(second)}", kind=kind, at=at, attempt=attempt, data=data)


def failing() -> list[TimelineEvent]:
    error = {"code": "task_exception", "type": "KeyError", "message": "'A-2'"}
    return [
        event(0, "submitted", queue="default", submitted_by="ci"),
        event(3, "started", 1, worker="w:1", queued_at="2026-01-01T00:00:02Z"),
        event(4, "progress", 1, message="Row 1", current=1),
        event(5, "log", 1, level="warning", message="Price missing"),
        event(6, "progress", 1, message="Row 2", current=2),
        event(8, "retrying", 1, error=error, traceback=TRACEBACK, retry_at="2026-01-01T00:00:20Z"),
        event(22, "started", 2, worker="w:2", queued_at="2026-01-01T00:00:20Z"),
        event(23, "failed", 2, error=error, traceback=TRACEBACK),
    ]


def test_each_entry_says_what_happened_and_how_long_it_took_until_then() -> None:
    told = report(failing(), WORDS)
    assert [(entry.title, entry.lasted.total_seconds() if entry.lasted else None) for entry in told] == [
        ("Submitted by ci to the queue default", None),
        ("Attempt 1 began on w:1", 1),
        ("Progress: Row 2", None),
        ("The attempt failed and is tried again", 5),
        ("Attempt 2 began on w:2", 2),
        ("Failed", 1),
    ]
    assert (told[3].says, told[3].code) == ("KeyError: 'A-2'", "task_exception")
    assert [step.title for step in told[2].steps] == ["Progress: Row 1"]


def test_what_is_not_known_of_a_wait_is_not_said() -> None:
    told = report([event(0, "submitted"), event(3600, "started", 1)], WORDS)
    assert [entry.lasted for entry in told] == [None, None], "it may have been delayed, or blocked"


def test_an_entry_that_no_one_has_words_for_is_shown_as_it_is() -> None:
    (told,) = report([event(0, "new_kind", 1, some="value")], WORDS)
    assert (told.title, told.pairs) == ("new kind", {"some": "value"})


def test_cancelling_has_four_stages() -> None:
    asked = [event(0, "started", 1), event(1, "cancel_requested", 1, by="ann")]
    assert [stage.is_done for stage in cancelling(asked, WORDS, is_final=False)] == [True, False, False, False]
    ended = [*asked, event(2, "cancel_delivered", 1), event(9, "cancel_forced", 1), event(9, "cancelled", 1)]
    stages = cancelling(ended, WORDS, is_final=True)
    assert [stage.title for stage in stages] == ["asked", "told", "forced to stop", "ended"]
    assert all(stage.at for stage in stages)
    assert cancelling([*ended, event(10, "retried", 1)], WORDS, is_final=False) == []
    assert cancelling([event(0, "submitted")], WORDS, is_final=False) == []


def test_attempts_stand_side_by_side_with_the_place_where_each_failed() -> None:
    first, second = attempts = attempts_of(failing())
    assert (first.worker, first.outcome, second.outcome) == ("w:1", "retrying", "failed")
    assert (first.place, first.lasted) == ('File "b.py", line 2, in go', timedelta(seconds=5))
    assert compared(attempts, "", "") == [first, second]
    assert compared([first], "", "") == []
    assert place_of("no traceback") == ""


def test_lines_are_found_by_words_and_level() -> None:
    events = [event(1, "log", 1, level="debug", message="a"), event(2, "log", 2, level="error", message="Broken PIPE")]
    assert [line.text for line in lines_of(events)] == ["a", "Broken PIPE"]
    assert [line.text for line in lines_of(events, level="warning")] == ["Broken PIPE"]
    assert [line.text for line in lines_of(events, text="pipe")] == ["Broken PIPE"]
