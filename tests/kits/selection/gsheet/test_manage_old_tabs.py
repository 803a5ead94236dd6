"""selection.manage_old_tabs: it takes the tabs of runs and no others, and does it once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from taskyard.domain.ids import new_id
from taskyard.running.trial import TaskRun
from tests.kits.conftest import Run
from tests.support.google_server import Book, Call, Fault, Google

OLD = ["Original Selected - output - 0", "Remaining - output - 0", "Original Selected - output - 12"]
OTHERS = ["People", "Remaining - output - notes", "Remaining - output - 1 of Eva", "My Remaining - output - 1"]
ARCHIVED = [f"Archived - {title}" for title in OLD]


@pytest.fixture
def book(google: Google) -> Book:
    made = google.book()
    for title in OTHERS + OLD:
        made.add(title)
    return made


def manage(call: Run, book: Book, action: str, **given: Any) -> TaskRun:
    options = {name: given.pop(name) for name in ("dry_run",) if name in given}
    return call("selection.manage_old_tabs", {"gsheet_id": book.id, "action": action, **options}, **given)


def writes(google: Google) -> list[Call]:
    return [made for made in google.calls if made.method != "GET"]


@pytest.mark.parametrize(
    ("action", "options"), [("list", {}), ("list", {"dry_run": False}), ("delete", {}), ("archive", {})]
)
def test_without_being_asked_to_change_tabs_it_tells_which_they_are(
    call: Run, google: Google, book: Book, action: str, options: dict[str, bool]
) -> None:
    assert manage(call, book, action, **options).result == {
        "action": action,
        "dry_run": True,
        "tabs": OLD,
        "archived": [],
        "changed": 0,
    }
    assert writes(google) == []


def test_deletion_takes_the_tabs_of_runs_and_no_others(call: Run, google: Google, book: Book) -> None:
    made = manage(call, book, "delete", dry_run=False).result
    assert (made["tabs"], made["changed"], made["dry_run"]) == (OLD, 3, False)
    assert book.titles() == OTHERS
    assert len(writes(google)) == 1


def test_archived_tabs_are_renamed_and_hidden(call: Run, book: Book) -> None:
    made = manage(call, book, "archive", dry_run=False).result
    assert (made["tabs"], made["archived"], made["changed"]) == (OLD, ARCHIVED, 3)
    assert (book.titles(), book.titles(hidden=True)) == (OTHERS, ARCHIVED)


def test_an_archive_may_hold_several_tabs_of_one_name(call: Run, book: Book) -> None:
    manage(call, book, "archive", dry_run=False)
    book.add(OLD[0])
    made = manage(call, book, "archive", dry_run=False).result
    assert (made["tabs"], made["archived"]) == (OLD[:1], [*ARCHIVED, f"{ARCHIVED[0]} (2)"])
    assert manage(call, book, "delete", dry_run=False).result["changed"] == 0, "the archive stays"


@pytest.mark.parametrize("action", ["archive", "delete"])
def test_another_attempt_changes_nothing_more_and_tells_the_same(call: Run, book: Book, action: str) -> None:
    task = new_id()
    first = manage(call, book, action, dry_run=False, task_id=task).result
    book.add("Original Selected - output - 0")  # of a run in between
    assert manage(call, book, action, dry_run=False, task_id=task, attempt=2).result == first
    assert "Original Selected - output - 0" in book.titles()


def test_an_answer_that_is_lost_is_made_good_by_the_next_attempt(call: Run, google: Google, book: Book) -> None:
    task = new_id()
    google.fail(Fault(503, does=True), on=":batchUpdate")
    lost = manage(call, book, "delete", dry_run=False, task_id=task)
    assert (lost.fault.code, lost.will_retry) == ("gsheet_unavailable", True)
    assert manage(call, book, "delete", dry_run=False, task_id=task, attempt=2).result["tabs"] == OLD


def test_the_spreadsheet_remembers_the_newest_task_only(call: Run, book: Book) -> None:
    for _ in range(3):
        book.add("Original Selected - output - 5")
        manage(call, book, "delete", dry_run=False)
    assert len(book.marks) == 1


@pytest.mark.parametrize("action", ["archive", "delete"])
def test_the_last_visible_tab_stays(call: Run, google: Google, book: Book, action: str) -> None:
    for sheet in book.sheets:
        sheet.hidden = sheet.title not in OLD
    run = manage(call, book, action, dry_run=False)
    assert (run.fault.code, run.will_retry) == ("gsheet_last_tab", False)
    assert book.titles() == OLD


def test_a_spreadsheet_that_may_only_be_read_is_told_before_anything_is_changed(call: Run, google: Google) -> None:
    book = google.book(shared="reader")
    book.add(OLD[0])
    assert manage(call, book, "list").result["tabs"] == OLD[:1]
    run = manage(call, book, "archive", dry_run=False)
    assert (run.fault.code, run.will_retry) == ("spreadsheet_read_only", False)
    assert writes(google) == []


def test_tabs_that_people_change_meanwhile_are_read_again(call: Run, google: Google, book: Book) -> None:
    google.before = once(":batchUpdate", lambda: book.sheets.remove(book.named(OLD[0])))
    made = manage(call, book, "delete", dry_run=False).result
    assert made["tabs"] == OLD[1:]
    assert book.titles() == OTHERS


def test_half_written_tabs_go_when_their_task_is_over(call: Run, book: Book) -> None:
    for name, hours in (("dead", 25), ("running", 1)):
        mark = {"metadataId": hours, "metadataKey": "taskyard.run"}
        value = f"unfinished {new_id()} {int(time.time() - hours * 3600)}"
        book.add(name, hidden=True, marks=[{**mark, "metadataValue": value}])
    assert manage(call, book, "delete", dry_run=False).result["tabs"] == [*OLD, "dead"]
    assert book.titles(hidden=True) == ["running"]


def test_marks_that_others_wrote_are_not_understood(call: Run, book: Book) -> None:
    for key in ("taskyard.managed", "taskyard.run", "other"):
        for value in ("", "{", "[1]", "unfinished x y"):
            book.marks.append({"metadataId": 1, "metadataKey": key, "metadataValue": value})
            book.sheets[0].marks.append({"metadataId": 1, "metadataKey": key, "metadataValue": value})
    assert manage(call, book, "delete").result["tabs"] == OLD


def once(path: str, change: Callable[[], object]) -> Callable[[Call], None]:
    """Changes something before the first call whose path ends so."""
    left = [change]

    def before(made: Call) -> None:
        if left and made.path.endswith(path):
            left.pop()()

    return before
