"""`taskyard tasks watch` shows the timeline of a task as a readable report."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rich.console import Console

from taskyard.output import visible
from taskyard.watching import watch_task
from taskyard_client import Task, TaskEvent

CRASH = {"message": "The process that ran it ended: killed by signal 9 (SIGKILL): out of memory.", "code": "crash"}


class Told:
    """An API whose task has this timeline."""

    def __init__(self, *events: tuple[str, int, dict[str, Any]], state: str, error: Any = None) -> None:
        self._events = events
        self._task = Task(id=UUID(int=1), name="a.b", queue="default", state=state, error=error)

    def events(self, task_id: UUID) -> Any:
        for kind, attempt, data in self._events:
            yield TaskEvent(kind=kind, attempt=attempt, at=datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC), data=data)

    def task(self, task_id: UUID) -> Task:
        return self._task


def watched(told: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    watch_task(told, UUID(int=1), console)
    file: Any = console.file
    return [" ".join(line.split()) for line in file.getvalue().splitlines()]


def test_a_task_that_ended_its_process_too_often() -> None:
    error = {"message": "The task ended its process 3 times.", "code": "crash_limit"}
    lines = watched(
        Told(
            ("submitted", 0, {"name": "a.b", "queue": "default", "submitted_by": "ci"}),
            ("started", 3, {"worker": "host-1:0"}),
            ("crashed", 3, {"worker": "host-1:0", "error": CRASH, "peak_memory_bytes": 200 * 1024**2}),
            ("failed", 3, {"error": error}),
            state="failed",
            error=error,
        )
    )
    assert lines[:4] == [
        "12:34:56 submitted a.b, queue default by ci",
        "12:34:56 started attempt 3 on host-1:0",
        f"12:34:56 crashed {CRASH['message']} Its memory reached 200 MiB.",
        "12:34:56 failed The task ended its process 3 times.",
    ]


def test_a_task_that_had_to_be_stopped_by_force() -> None:
    lines = watched(
        Told(
            ("cancel_requested", 1, {"by": "ci", "follows": str(UUID(int=7))}),
            ("cancel_delivered", 1, {}),
            ("cancel_forced", 1, {}),
            ("cancelled", 1, {"cause": "it did not stop within 10 s"}),
            state="cancelled",
        )
    )
    assert lines[:4] == [
        f"12:34:56 cancel requested by ci, with the task {UUID(int=7)} that submitted it",
        "12:34:56 cancel delivered the task was told to stop",
        "12:34:56 cancel forced its process was to be ended",
        "12:34:56 cancelled it did not stop within 10 s",
    ]


def test_a_retry_says_when() -> None:
    data = {"error": {"message": "It ran longer than its soft limit of 5 s."}, "retry_at": "2026-03-01T12:36:00Z"}
    lines = watched(Told(("soft_time_limit", 1, {}), ("retrying", 1, data), state="retrying"))
    assert lines[:2] == [
        "12:34:56 soft time limit the task was told that its time is over",
        "12:34:56 retrying It ran longer than its soft limit of 5 s. Again at 12:36:00.",
    ]


def test_what_others_wrote_does_not_command_the_terminal() -> None:
    evil = "\x1b[2J\x9b2J\u202e\x07[red]\r\nnext"
    told = Told(
        ("submitted", 0, {"name": "a.b", "queue": "default", "submitted_by": evil}),
        ("progress", 1, {"message": evil}),
        ("log", 1, {"message": evil}),
        state="failed",
        error={"message": evil, "code": evil},
    )
    told._task = told._task.model_copy(update={"result": {evil: evil}})
    text = "\n".join(watched(told))
    assert not [c for c in text if c in "\x1b\x9b\u202e\x07\r"]
    assert text.count(r"\u001b[2J\u009b2J\u202e\u0007") >= 5
    assert "[red]" in text


def test_text_from_tasks_stays_what_it_is() -> None:
    assert visible("Größe: 5 €\tá é 中 \N{GRINNING FACE}\nnext") == "Größe: 5 €\tá é 中 \N{GRINNING FACE}\nnext"
    assert json.loads(visible(json.dumps("a\x9b\x7f\u2028b", ensure_ascii=False))) == "a\x9b\x7f\u2028b"
