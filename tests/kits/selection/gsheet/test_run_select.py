"""selection.run_select from a Google spreadsheet and into it."""

from __future__ import annotations

from typing import Any

import pytest

from taskyard.domain.ids import new_id
from tests.kits.conftest import Run
from tests.kits.selection import pools
from tests.support.google_server import Book, Fault, Google

PEOPLE, TARGETS = pools.people(40), pools.targets(8, 0.2)
PAIR = ["Original Selected - output - 0", "Remaining - output - 0"]


def cells(rows: list[dict[str, str]]) -> list[list[str]]:
    return [list(rows[0]), *(list(row.values()) for row in rows)]


@pytest.fixture
def book(google: Google) -> Book:
    made = google.book()
    made.add("People", cells(PEOPLE))
    made.add("Targets", cells(TARGETS))
    return made


def wish(book: Book, output: Book | None = None, **more: Any) -> dict[str, Any]:
    return {
        "selection_params": {"number_to_select": 8, "selection_algorithm": "legacy", "id_column": "id", **more},
        "feature_data": {"gsheet_id": book.id, "tab_name": "People"},
        "quota_data": {"gsheet_id": book.id, "tab_name": "Targets"},
        "output": {"gsheet_id": (output or book).id},
    }


def people_in(book: Book, title: str) -> list[pools.Person]:
    header, *rows = book.named(title).rows
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_a_panel_that_meets_its_quotas_is_written_into_new_tabs(call: Run, book: Book) -> None:
    made = call("selection.run_select", wish(book)).result
    assert [made["selected_tab"], made["remaining_tab"]] == PAIR
    selected, remaining = (people_in(book, title) for title in PAIR)
    assert pools.unmet(selected, TARGETS) == []
    assert sorted(selected + remaining, key=lambda person: person["id"]) == PEOPLE
    assert len(selected) == made["selected_count"] == 8


def test_another_attempt_writes_the_panel_that_was_drawn(call: Run, google: Google, book: Book) -> None:
    task_id = new_id()
    google.fail(Fault(429, {"Retry-After": "3"}), on="PUT")
    first = call("selection.run_select", wish(book), task_id=task_id)
    assert (first.fault.code, first.will_retry) == ("gsheet_rate_limited", True)
    again = call("selection.run_select", wish(book), task_id=task_id, attempt=2)
    assert "An earlier attempt drew the panel already." in again.logs
    assert not any("seed" in line for line in again.logs), "it is not drawn again"
    assert again.result["selected_tab"] == PAIR[0]
    assert len(book.sheets) == 4


def test_a_spreadsheet_that_may_only_be_read_is_told_before_a_panel_is_drawn(call: Run, google: Google) -> None:
    book = google.book(shared="reader")
    book.add("People", cells(PEOPLE))
    run = call("selection.run_select", wish(book))
    assert (run.fault.code, run.will_retry) == ("spreadsheet_read_only", False)
    assert not any("seed" in line for line in run.logs)


@pytest.mark.parametrize(
    ("tab", "rows", "table"),
    [("People", [["id", "age"], ["1", "2", "3"]], "people"), ("Targets", [["feature"]], "quotas")],
)
def test_a_tab_that_is_no_table_is_told_by_what_it_is_for(
    call: Run, book: Book, tab: str, rows: list[list[str]], table: str
) -> None:
    book.named(tab).rows = rows
    run = call("selection.run_select", wish(book))
    assert (run.fault.code, run.will_retry) == ({"people": "table_ragged", "quotas": "table_empty"}[table], False)
    assert (run.fault.values or {})["table"] == {"phrase": table}
