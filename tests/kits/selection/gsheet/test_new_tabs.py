"""The tabs that a run makes: complete or not there at all, and once in all attempts."""

from __future__ import annotations

from typing import Any

import pytest
from sortition_algorithms.adapters import GSheetTabNamer

from taskyard import TaskContext, task
from taskyard.domain.ids import new_id
from taskyard.running.trial import TaskRun
from taskyard_kits.selection.google import names, output
from taskyard_kits.selection.google.rules import RULES
from taskyard_kits.selection.google.spreadsheets import spreadsheet_of
from tests.kits.conftest import Run
from tests.support.google_server import Book, Call, Fault, Google

SELECTED = [["id", "name"], ["1", "=HYPERLINK(1)"], ["007", "Zoë"]]
REMAINING = [["id", "name"], ["3", ""]]
STEPS = ["added", "first written", "second written", "completed"]
PAIR = ["Original Selected - output - 0", "Remaining - output - 0"]


@task("tests.write_tabs", rules=RULES)
def write_tabs(gsheet_id: str, rows: list[list[str]], times: int, *, context: TaskContext) -> list[str]:
    spreadsheet = spreadsheet_of(context, gsheet_id)
    return [tab.title for tab in output.write(context, spreadsheet, rows * times, REMAINING)]


def write(call: Run, book: Book, rows: list[list[str]] = SELECTED, *, times: int = 1, **given: Any) -> TaskRun:
    return call(write_tabs, {"gsheet_id": book.id, "rows": rows, "times": times}, **given)


@pytest.fixture
def book(google: Google) -> Book:
    made = google.book()
    made.add("People")
    return made


def test_both_lists_become_visible_tabs_with_their_cells_as_text(call: Run, book: Book) -> None:
    assert write(call, book).result == PAIR
    assert book.titles() == ["People", *PAIR]
    assert [book.named(title).rows for title in PAIR] == [SELECTED, REMAINING]
    assert book.named(PAIR[0]).coloured == [0]


def test_both_get_the_first_number_that_neither_has(call: Run, book: Book) -> None:
    book.add("Original Selected - output - 0")
    book.add("remaining - output - 1")  # Google compares titles without their case
    assert write(call, book).result == ["Original Selected - output - 2", "Remaining - output - 2"]


def test_a_long_list_is_written_in_pieces_of_what_google_recommends(call: Run, google: Google, book: Book) -> None:
    row = ["1", "ä" * 1000]
    write(call, book, [row], times=2_000)
    sizes = [len(made.body["values"]) for made in google.calls if made.method == "PUT"]
    assert len(sizes) == 4
    assert book.named(PAIR[0]).rows == [row] * 2_000


@pytest.mark.parametrize(
    ("call_of", "before"), [(":batchUpdate", 0), ("PUT", 0), ("PUT", 1), (":batchUpdate", 1)], ids=STEPS
)
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
def test_a_call_that_fails_at_any_step_leaves_no_tab_twice(
    call: Run, google: Google, book: Book, call_of: str, before: int, done: bool
) -> None:
    task_id = new_id()
    google.fail(*[None] * before, Fault(503, does=done), on=call_of)
    assert write(call, book, task_id=task_id).will_retry
    is_complete = done and (call_of, before) == (":batchUpdate", 1)
    assert book.titles() == (["People", *PAIR] if is_complete else ["People"])
    assert write(call, book, task_id=task_id, attempt=2).result == PAIR
    assert [book.named(title).rows for title in PAIR] == [SELECTED, REMAINING]
    assert len(book.sheets) == 3


def test_another_attempt_finds_what_was_completed(call: Run, book: Book) -> None:
    task_id = new_id()
    first = write(call, book, task_id=task_id).result
    assert write(call, book, [["other"]], task_id=task_id, attempt=2).result == first
    assert book.named(PAIR[0]).rows == SELECTED


@pytest.mark.parametrize("deleted", [PAIR[:1], PAIR[1:], PAIR], ids=["selected", "remaining", "both"])
def test_tabs_that_people_deleted_before_another_attempt_are_written_anew(
    call: Run, book: Book, deleted: list[str]
) -> None:
    task_id = new_id()
    write(call, book, task_id=task_id)
    for title in deleted:
        book.sheets.remove(book.named(title))
    for title in set(PAIR).difference(deleted):
        book.named(title).rows.append(["a note of the organiser"])
    kept = {title: list(book.named(title).rows) for title in PAIR if title not in deleted}
    assert write(call, book, task_id=task_id, attempt=2).result == PAIR
    assert [book.named(title).rows for title in PAIR] == [
        kept.get(title, rows) for title, rows in zip(PAIR, (SELECTED, REMAINING), strict=True)
    ]


def test_a_number_that_another_run_takes_meanwhile_is_not_used(call: Run, google: Google, book: Book) -> None:
    changes: list[Call] = []

    def before(made: Call) -> None:
        if made.path.endswith(":batchUpdate"):
            changes.append(made)
            if len(changes) == 2:
                book.add(PAIR[1])

    google.before = before
    assert write(call, book).result == ["Original Selected - output - 1", "Remaining - output - 1"]


def test_what_google_refuses_for_other_reasons_is_final(call: Run, book: Book) -> None:
    run = write(call, book, [["id"], ["x" * 50_001]])
    assert (run.fault.code, run.will_retry) == ("gsheet_request_refused", False)
    assert "50000 characters" in (run.fault.values or {})["answer"]
    assert book.titles() == ["People"]


def test_a_spreadsheet_that_may_only_be_read_gets_no_tabs(call: Run, google: Google) -> None:
    book = google.book(shared="reader")
    run = write(call, book)
    assert (run.fault.code, run.will_retry) == ("spreadsheet_read_only", False)


def test_titles_are_those_that_the_library_gives() -> None:
    library = GSheetTabNamer()
    library.find_unused_tab_suffix([*PAIR, "Remaining - output - 1"])
    found = names.free([names.SELECTED, names.REMAINING], [*PAIR, "Remaining - output - 1"])
    assert found == [library.selected_tab_name(), library.remaining_tab_name()]
