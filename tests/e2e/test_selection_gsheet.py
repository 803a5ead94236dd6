"""Selection from a Google spreadsheet and into it, through HTTP, the queue and a worker process; only Google is a local
server, which speaks what Google documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kits.selection import pools
from tests.support.fleet import Fleet
from tests.support.google_server import EMAIL, Book, Fault, Google, google_server, write_key_file

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PEOPLE, TARGETS = pools.people(40), pools.targets(8, 0.2)
PAIR = ["Original Selected - output - 0", "Remaining - output - 0"]


@pytest.fixture(scope="module")
def google() -> Iterator[Google]:
    with google_server() as server:
        yield server


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory,
    new_database: Callable[[], str],
    new_redis_url: Callable[[], str],
    google: Google,
) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("gsheet")
    made = Fleet(home, new_database(), new_redis_url())
    made.environment.update(
        TASKYARD_SELECTION_GOOGLE_KEY_FILE=str(write_key_file(home / "key.json", f"{google.url}/token")),
        TASKYARD_SELECTION_GOOGLE_TOKEN_URL=f"{google.url}/token",
        TASKYARD_SELECTION_GOOGLE_SHEETS_URL=google.url,
        TASKYARD_SELECTION_GOOGLE_DRIVE_URL=google.url,
    )
    try:
        made.start_all(queues="selection", threads=1)
        yield made
    finally:
        made.stop()


@pytest.fixture
def book(google: Google) -> Book:
    made = google.book()
    for title, rows in (("People", PEOPLE), ("Targets", TARGETS)):
        made.add(title, [list(rows[0]), *(list(row.values()) for row in rows)])
    return made


def ended(fleet: Fleet, state: str, name: str, **params: Any) -> Any:
    """The task, as it is read in German."""
    task_id = fleet.submit(name, params)
    fleet.wait_state(task_id, state, seconds=60)
    return fleet.http.get(f"/tasks/{task_id}", headers={"Accept-Language": "de"}).json()


def test_a_tab_is_loaded_although_google_asks_for_fewer_calls(fleet: Fleet, google: Google, book: Book) -> None:
    google.fail(Fault(429, {"Retry-After": "1"}), on="/values/")
    task = ended(fleet, "succeeded", "selection.load_gsheet", gsheet_id=book.id, tab_name="People")
    assert (task["attempt"], task["result"]["rows"]) == (2, 40)
    content = fleet.http.get(f"/tree-items/{task['result']['item_id']}/content").content
    assert pools.of_csv(content) == PEOPLE


def test_a_panel_is_drawn_from_tabs_into_tabs_which_are_archived_and_deleted_later(fleet: Fleet, book: Book) -> None:
    def source(tab: str) -> dict[str, str]:
        return {"gsheet_id": book.id, "tab_name": tab}

    drawn = ended(
        fleet,
        "succeeded",
        "selection.run_select",
        selection_params={"number_to_select": 8, "id_column": "id"},
        feature_data=source("People"),
        quota_data=source("Targets"),
        output={"gsheet_id": book.id},
    )["result"]
    assert [drawn["selected_tab"], drawn["remaining_tab"]] == PAIR
    header, *rows = book.named(PAIR[0]).rows
    panel = [dict(zip(header, row, strict=True)) for row in rows]
    assert len(panel) == 8
    assert pools.unmet(panel, TARGETS) == []

    def manage(action: str, **more: bool) -> Any:
        return ended(fleet, "succeeded", "selection.manage_old_tabs", gsheet_id=book.id, action=action, **more)[
            "result"
        ]

    assert manage("list")["tabs"] == PAIR
    assert manage("archive", dry_run=False)["changed"] == 2
    assert book.titles() == ["People", "Targets"]
    book.add(PAIR[0])
    assert manage("delete") == {
        "action": "delete",
        "dry_run": True,
        "tabs": PAIR[:1],
        "archived": [f"Archived - {title}" for title in PAIR],
        "changed": 0,
    }
    assert PAIR[0] in book.titles()
    assert manage("delete", dry_run=False)["changed"] == 1
    assert book.titles() == ["People", "Targets"]


def test_a_spreadsheet_that_is_not_shared_is_told_in_german(fleet: Fleet, google: Google) -> None:
    book = google.book(book_id="not-shared", shared="nobody")
    task = ended(fleet, "failed", "selection.load_gsheet", gsheet_id=book.id, tab_name="People")
    assert (task["attempt"], task["error"]["code"]) == (1, "spreadsheet_not_shared")
    assert task["error"]["message"] == (
        f"Die Google-Tabelle not-shared ist nicht für {EMAIL} freigegeben. Geben Sie sie für diese Adresse frei."
    )


def test_the_last_tab_that_people_see_is_not_archived_which_is_told_in_german(fleet: Fleet, google: Google) -> None:
    book = google.book()
    book.add(PAIR[0])
    wish = {"gsheet_id": book.id, "action": "archive", "dry_run": False}
    task = ended(fleet, "failed", "selection.manage_old_tabs", **wish)
    assert (task["attempt"], task["error"]["code"]) == (1, "gsheet_last_tab")
    assert task["error"]["message"].startswith("In der Tabelle bliebe kein sichtbares Tabellenblatt")
    assert book.titles() == PAIR[:1]


def test_a_cancellation_breaks_off_a_call_that_google_does_not_answer(fleet: Fleet, google: Google, book: Book) -> None:
    google.fail(Fault(503, seconds=60), on="/drive/")
    task_id = fleet.submit("selection.load_gsheet", {"gsheet_id": book.id, "tab_name": "People"})
    fleet.wait_state(task_id, "running")
    assert fleet.http.post(f"/tasks/{task_id}/cancel").status_code == 202
    fleet.wait_state(task_id, "cancelled", seconds=15)
