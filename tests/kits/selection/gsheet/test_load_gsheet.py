"""selection.load_gsheet, with real calls to a local Google."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.running.trial import TaskRun
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from tests.kits.conftest import Run
from tests.support.google_server import Book, Fault, Google

PEOPLE = [
    ["id", "name", "age", "notes"],
    ["007", "Zoë, Łódź", "16-29", ""],
    ["008", 'says "hi"\nand leaves', "30-44", "=1+1"],
]


def test_a_tab_becomes_a_csv_file_with_its_cells_as_they_are(
    call: Run, book: Book, engine: Engine, storage: LocalStorage
) -> None:
    book.add("People's list!", PEOPLE)
    made = load(call, book, "People's list!").result
    assert (made["rows"], made["columns"], made["name"]) == (2, PEOPLE[0], "People's list!.csv")
    assert content(engine, storage, made["item_id"]) == (
        'id,name,age,notes\r\n007,"Zoë, Łódź",16-29,\r\n008,"says ""hi""\nand leaves",30-44,=1+1\r\n'
    )


def test_empty_rows_between_others_are_left_out(call: Run, book: Book, engine: Engine, storage: LocalStorage) -> None:
    book.add("People", [["id", "age"], [], ["1"], ["", " "], ["2", "30"], ["", ""]])
    made = load(call, book).result
    assert content(engine, storage, made["item_id"]) == "id,age\r\n1,\r\n2,30\r\n"
    assert made["rows"] == 2


def test_a_tab_is_stored_once_in_all_attempts(call: Run, book: Book) -> None:
    book.add("People", PEOPLE)
    task = new_id()
    first = load(call, book, task_id=task).result
    book.sheets.clear()
    assert load(call, book, task_id=task, attempt=2).result == first


@pytest.mark.parametrize(
    ("rows", "code"), [([], "table_empty"), ([["id", "age"]], "table_empty"), ([["id"], ["1", "2"]], "table_ragged")]
)
def test_a_tab_that_is_no_table_is_a_final_error(call: Run, book: Book, rows: list[list[str]], code: str) -> None:
    book.add("People", rows)
    run = load(call, book)
    assert (run.fault.code, (run.fault.values or {})["table"], run.will_retry) == (code, {"phrase": "tab"}, False)


def test_a_tab_that_is_missing_is_named(call: Run, book: Book) -> None:
    book.add("people", PEOPLE)
    book.add("People", kind="OBJECT")  # a chart has a tab of its own, and no cells
    run = load(call, book)
    assert (run.fault.code, (run.fault.values or {})["tab_name"], run.will_retry) == ("tab_not_found", "People", False)


def test_an_answer_is_not_read_beyond_its_bound(call: Run, book: Book, google: Google) -> None:
    book.add("People", PEOPLE)
    google.fail(Fault(200, body=b'{"values": [["' + b"x" * 33 * 2**20 + b'"]]}'), on="/values/")
    run = load(call, book)
    assert (run.fault.code, run.fault.values, run.will_retry) == ("gsheet_too_large", {"limit": 32}, False)


def test_a_page_of_a_proxy_is_no_answer_and_is_tried_again(call: Run, book: Book, google: Google) -> None:
    book.add("People", PEOPLE)
    google.fail(Fault(200, body=b"<html>Please log in to the proxy</html>"), on="/values/")
    run = load(call, book)
    assert (run.fault.code, run.will_retry) == ("gsheet_unavailable", True)


def load(call: Run, book: Book, tab: str = "People", **given: Any) -> TaskRun:
    return call("selection.load_gsheet", {"gsheet_id": book.id, "tab_name": tab}, **given)


def content(engine: Engine, storage: LocalStorage, item_id: str) -> str:
    with ledger.transaction(engine) as conn:
        item = tree_items.get(conn, [UUID(item_id)])[UUID(item_id)]
    with storage.open(item.storage_key) as file:
        return file.read().decode()
