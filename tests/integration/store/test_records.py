"""Records: written by their keys, so that a repeat changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from taskyard.domain.ids import new_id
from taskyard.store import ledger, record_imports, record_syncs, records
from taskyard.store.record_imports import Position
from taskyard.store.record_syncs import Cursor, Source
from taskyard.store.records import MAX_KEY_BYTES, Written
from taskyard.store.tables.records import record_sync

ROWS: dict[str, Any] = {"b": {"n": 1}, "a": [1, None, "ü"], "": 1.5}


@pytest.fixture
def tasks(task_url: str) -> Any:
    made = ledger.make_engine(task_url)
    yield made
    made.dispose()


def upsert(engine: Engine, rows: dict[str, Any], owner: str | None = None, collection: str = "people") -> Written:
    return ledger.run(engine, lambda conn: records.upsert(conn, collection, rows, task_id=new_id(), owner=owner))


def page(engine: Engine, **more: Any) -> dict[str, Any]:
    return ledger.run(engine, lambda conn: records.page(conn, "people", **more))


def test_a_chunk_that_is_written_again_changes_nothing(tasks: Engine) -> None:
    assert upsert(tasks, ROWS) == (3, 0, 0)
    with tasks.connect() as conn:
        before = conn.exec_driver_sql("SELECT * FROM record ORDER BY key").all()
    assert upsert(tasks, ROWS) == (0, 0, 3)
    with tasks.connect() as conn:
        assert conn.exec_driver_sql("SELECT * FROM record ORDER BY key").all() == before
    assert page(tasks) == {"": 1.5, "a": [1, None, "ü"], "b": {"n": 1}}


def test_what_differs_is_updated_and_told(tasks: Engine) -> None:
    upsert(tasks, ROWS)
    assert upsert(tasks, {"a": 2, "b": {"n": 1}, "c": None}) == (1, 1, 1)
    assert page(tasks, after="a") == {"b": {"n": 1}, "c": None}
    assert page(tasks, after="", limit=1) == {"a": 2}
    assert page(tasks, after="a", limit=1) == {"b": {"n": 1}}


def test_a_restricted_key_has_records_of_its_own(tasks: Engine) -> None:
    upsert(tasks, {"a": "everybody's"})
    assert upsert(tasks, {"a": "mine"}, owner="mine") == (1, 0, 0)
    assert upsert(tasks, {"a": "nobody's"}, owner="") == (1, 0, 0)
    assert [page(tasks, owner=owner)["a"] for owner in (None, "mine", "")] == ["everybody's", "mine", "nobody's"]
    assert page(tasks, owner="other") == {}


def test_collections_are_apart(tasks: Engine) -> None:
    upsert(tasks, {"a": 1}, collection="other")
    assert page(tasks) == {}


def test_chunks_that_share_keys_do_not_wait_for_each_other_in_a_circle(tasks: Engine) -> None:
    keys = [f"{n:03}" for n in range(200)]

    def write(n: int) -> None:
        order = keys if n % 2 else keys[::-1]
        with ledger.transaction(tasks) as conn:  # which repeats nothing
            records.upsert(conn, "people", dict.fromkeys(order, n), task_id=new_id())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(40)))
    assert len(page(tasks)) == 200


def test_a_chunk_with_what_postgresql_cannot_hold_writes_nothing(tasks: Engine) -> None:
    with pytest.raises(DBAPIError):
        upsert(tasks, {"a": 1, "b": "\x00"})
    assert page(tasks) == {}


def test_two_attempts_of_an_import_move_its_position_one_after_the_other(tasks: Engine) -> None:
    task_id = new_id()

    def move(_: int) -> None:
        with ledger.transaction(tasks) as conn:
            at = record_imports.locked(conn, task_id)
            record_imports.move(conn, task_id, Position(at.rows + 1, {"seen": [*at.counts.get("seen", ()), at.rows]}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(move, range(12)))
    with ledger.transaction(tasks) as conn:
        assert record_imports.locked(conn, task_id) == (12, {"seen": list(range(12))})


def test_a_source_has_a_cursor_for_each_collection_and_owner(tasks: Engine) -> None:
    task_id, sources = new_id(), [Source("a", "s"), Source("b", "s"), Source("a", "s", "mine"), Source("a", "s", "")]
    with ledger.transaction(tasks) as conn:
        for n, source in enumerate(sources):
            assert record_syncs.locked(conn, source, task_id) == (None, task_id, True)
            record_syncs.move(conn, source, Cursor(f"c{n}", task_id, bool(n)))
        found = [record_syncs.locked(conn, source, new_id()) for source in sources]
    assert found == [(f"c{n}", task_id, not n) for n in range(4)]


def test_a_source_is_held_until_its_task_releases_it_or_has_not_moved_it_for_long(tasks: Engine) -> None:
    task_id, source = new_id(), Source("a", "s")

    def is_held() -> bool:
        with ledger.transaction(tasks) as conn:
            return record_syncs.locked(conn, source, new_id()).is_held

    with ledger.transaction(tasks) as conn:
        record_syncs.locked(conn, source, task_id)
        record_syncs.release(conn, source, new_id())
    assert is_held()
    with ledger.transaction(tasks) as conn:
        record_syncs.release(conn, source, task_id)
    assert not is_held()
    with ledger.transaction(tasks) as conn:
        record_syncs.move(conn, source, Cursor("c", task_id, False))
    assert is_held()
    with tasks.begin() as conn:
        conn.execute(sa.update(record_sync).values(moved_at=sa.func.now() - record_syncs.HELD))
    assert not is_held()


def test_the_longest_names_fit_into_the_index(tasks: Engine) -> None:
    owner, collection, key = "ü" * 100, "c" * 100, "".join(chr(0x1F300 + n) for n in range(MAX_KEY_BYTES // 4))
    assert upsert(tasks, {key: 1}, owner=owner, collection=collection) == (1, 0, 0)
