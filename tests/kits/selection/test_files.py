"""The files of a draw: whose are read, and what is stored."""

import json
from uuid import UUID

from sqlalchemy import Engine

from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from tests.kits.selection import pools
from tests.kits.selection.conftest import Draw, Stored

QUOTAS = pools.targets(6, 0.3)


def test_cells_come_back_as_they_came_in(draw: Draw, stored: Stored) -> None:
    people = pools.people(24)
    odd = [
        "=1+1",
        "+1",
        "-1",
        "@a",
        " padded ",
        'a "quote", and a comma',
        "two\nlines",
        "J\u00f3zsef \U0001f600",
        "007",
    ]
    for person, name in zip(people, odd, strict=False):
        person["name"] = name
    content = b"\xef\xbb\xbf" + pools.as_csv(people)
    result = draw(content, QUOTAS, number=6, selection_algorithm="legacy").result
    both = stored(result["selected_item_id"]) + stored(result["remaining_item_id"])
    assert sorted(both, key=lambda person: person["id"]) == people


def test_the_report_is_stored_whole_beside_the_result(draw: Draw, engine: Engine, storage: LocalStorage) -> None:
    result = draw(pools.people(24), QUOTAS, number=6, selection_algorithm="legacy").result
    item_id = UUID(result["report_item_id"])
    item = ledger.run(engine, lambda conn: tree_items.get(conn, [item_id], owner=None))[item_id]
    with storage.open(item.storage_key) as file:
        report = json.load(file)
    assert report["result"]["random_seed"] == result["random_seed"]
    assert report["result"]["quotas"] == result["quotas"]
    assert "Category Value" in report["report"]


def test_a_restricted_key_draws_from_its_own_files_only(draw: Draw) -> None:
    run = draw(pools.people(24), QUOTAS, number=6, submitted_by="key:other", allowed_queues=["selection"])
    assert run.fault.code == "item_not_found"


def test_a_number_of_people_that_there_are_not_is_refused_before_a_solver_looks(draw: Draw) -> None:
    run = draw(pools.people(24), pools.targets(30, 0.3), number=30)
    assert (run.fault.code, run.will_retry) == ("too_few_people", False)
    assert run.fault.message.startswith("There are 24 people, of whom 30 are to be selected.")
