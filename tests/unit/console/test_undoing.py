"""What takes an operation back, what cannot be, files for spreadsheets, and commands to copy."""

from __future__ import annotations

import csv
import io
import json
import shlex
from typing import Any
from uuid import UUID, uuid4

import pytest

from taskyard_client.models import Task
from taskyard_console.commands import commands_of
from taskyard_console.pages.downloads import csv_of
from taskyard_console.undoing import CHANGE_TASKS, undo_of

ASKED, ENDED = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def operation(action: str, *, changed: int = 3, state: str = "succeeded", **given: Any) -> Task:
    return Task.model_validate({
        "id": uuid4(), "name": CHANGE_TASKS, "queue": "q", "state": state, "created_at": ASKED, "finished_at": ENDED,
        "params": {"action": action, "filter": given}, "result": {"changed": changed, "skipped": 0},
    })  # fmt: skip


@pytest.mark.parametrize(
    ("action", "undoes", "more"),
    [
        ("cancel", "retry", {"state": ["cancelled"]}),
        ("retry", "cancel", {"state": ["scheduled", "queued"]}),
        ("discard", "restore", {}),
        ("restore", "discard", {}),
    ],
)
def test_an_operation_is_undone_for_the_tasks_that_it_changed_whatever_chose_them(
    action: str, undoes: str, more: dict[str, Any]
) -> None:
    task = operation(action, name="a.b", code="boom")
    assert undo_of(task) == (undoes, {"operation_id": str(task.id), **more})


@pytest.mark.parametrize(
    "task",
    [
        operation("discard", changed=0),
        operation("discard", state="running"),
    ],
    ids=["nothing-changed", "still-running"],
)
def test_what_nothing_takes_back_is_not_undone(task: Task) -> None:
    assert undo_of(task) is None


def test_cells_that_spreadsheets_would_take_for_formulas_are_text() -> None:
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\uff1d1+1", "\uff201"]
    hostile = [*formulas, 'plain, with "quotes"\nand lines']
    rows = list(csv.reader(io.StringIO(csv_of([{"id": "1", "name": one, "params": {"a": 1}} for one in hostile]))))
    assert [row[1] for row in rows] == [*(f"'{one}" for one in formulas), hostile[-1]]


def test_what_a_task_holds_is_one_word_of_a_command() -> None:
    task = Task(id=UUID(int=1), name="a.b", queue="q", state="failed", params={"x": "'; rm -rf ~ #"})
    *_, again = commands_of(task, {"again"}, str)
    assert shlex.split(again.taskyard)[:5] == ["taskyard", "tasks", "submit", "a.b", '{"x": "\'; rm -rf ~ #"}']


def test_the_command_to_submit_again_has_the_options_and_a_word_in_the_place_of_a_secret() -> None:
    params = {"url": "x", "login": [{"token": "***"}]}
    limits = {"key": "k", "concurrent": 2}
    task = Task(id=UUID(int=1), name="a.b", queue="low", state="failed", params=params, tags=["t u"], limits=limits)
    *_, again = commands_of(task, {"again"}, str)
    assert "***" not in f"{again.body}{again.taskyard}"
    assert shlex.split(again.taskyard)[5:] == ["--queue", "low", "--tag", "t u"]
    assert json.loads(again.body or "") == {
        "name": "a.b",
        "params": {"url": "x", "login": [{"token": "<secret>"}]},
        "queue": "low",
        "tags": ["t u"],
        "limits": limits,
    }


def test_a_command_to_copy_hides_nothing_of_what_a_task_holds() -> None:
    task = Task(id=UUID(int=1), name="a.b", queue="q", state="failed", params={"x": "ő\u202e\u200b\x9b\x7f\n"})
    *_, again = commands_of(task, {"again"}, str)
    assert '{"x": "ő\\u202e\\u200b\\u009b\\u007f\\n"}\'' in again.taskyard
    assert again.body is not None
    assert json.loads(again.body)["params"] == task.params
