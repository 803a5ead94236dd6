"""Queries on tree items."""

from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.store import ledger, loose_objects, tree_items
from taskyard.store.tree_items import TreeItem


def item(name: str = "file", parent_id: UUID | None = None, task_id: UUID | None = None) -> TreeItem:
    return TreeItem(
        id=new_id(),
        name=name,
        content_type="text/plain",
        size=3,
        sha256="0" * 64,
        storage_key="0" * 32,
        parent_id=parent_id,
        task_id=task_id,
    )


@pytest.fixture
def items(engine: Engine) -> list[TreeItem]:
    with ledger.transaction(engine) as conn:
        return tree_items.insert(conn, [item(f"file {n}") for n in range(7)])


def test_what_was_written_is_read(engine: Engine, items: list[TreeItem]) -> None:
    assert all(i.created_at is not None for i in items)
    with ledger.connection(engine) as conn:
        found = tree_items.get(conn, [items[3].id, new_id(), items[1].id])
        assert found == {items[3].id: items[3], items[1].id: items[1]}
        assert tree_items.get(conn, []) == {}


def test_writing_again_changes_nothing(engine: Engine, items: list[TreeItem]) -> None:
    fresh = item("fresh")
    with ledger.transaction(engine) as conn:
        assert [i.id for i in tree_items.insert(conn, [items[0], fresh])] == [fresh.id]
        assert tree_items.insert(conn, []) == []
        assert tree_items.get(conn, [items[0].id])[items[0].id] == items[0]


def test_pages_are_newest_first_and_stable_under_inserts(engine: Engine, items: list[TreeItem]) -> None:
    with ledger.connection(engine) as conn:
        first = tree_items.page(conn, limit=3)
        tree_items.insert(conn, [item("later")])
        rest = tree_items.page(conn, limit=10, before=first[-1].id)
    assert [i.name for i in first] == ["file 6", "file 5", "file 4"]
    assert [i.name for i in rest] == ["file 3", "file 2", "file 1", "file 0"]


def test_what_came_of_an_item_is_found(engine: Engine, items: list[TreeItem]) -> None:
    task_id = new_id()
    with ledger.connection(engine) as conn:
        made = tree_items.insert(conn, [item("a", items[0].id, task_id), item("b", items[0].id)])
        assert tree_items.made_by(conn, task_id) == [made[0]]
        assert tree_items.made_by(conn, new_id()) == []
        assert tree_items.page(conn, limit=10, parent_id=items[0].id) == [made[1], made[0]]


def test_deleting_returns_what_it_removed(engine: Engine, items: list[TreeItem]) -> None:
    with ledger.transaction(engine) as conn:
        gone = tree_items.delete(conn, [items[2].id, items[1].id, new_id()])
        assert {i.id for i in gone} == {items[1].id, items[2].id}
        assert tree_items.delete(conn, [items[2].id]) == []
        assert tree_items.delete(conn, []) == []
        assert len(tree_items.page(conn, limit=10)) == 5


def test_a_locked_item_cannot_be_deleted_meanwhile(engine: Engine, items: list[TreeItem]) -> None:
    with ledger.transaction(engine) as conn:
        assert tree_items.lock(conn, items[0].id) == items[0]
        assert tree_items.lock(conn, new_id()) is None
        with ledger.transaction(engine) as other:
            other.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))
            with pytest.raises(sa.exc.OperationalError):
                tree_items.delete(other, [items[0].id])


def loose(engine: Engine) -> set[str]:
    with ledger.connection(engine) as conn:
        return set(conn.scalars(sa.text("SELECT key FROM loose_object")))


def test_an_object_is_loose_until_its_item_is_there_and_again_when_that_is_gone(engine: Engine) -> None:
    made = item()
    with ledger.transaction(engine) as conn:
        loose_objects.note(conn, made.storage_key)
        loose_objects.note(conn, made.storage_key)
    assert loose(engine) == {made.storage_key}
    with ledger.transaction(engine) as conn:
        tree_items.insert(conn, [made])
    assert loose(engine) == set()
    with ledger.transaction(engine) as conn:
        tree_items.delete(conn, [made.id])
    assert loose(engine) == {made.storage_key}
    with ledger.transaction(engine) as conn:
        assert loose_objects.overdue(conn, limit=9) == []
        conn.execute(sa.text("UPDATE loose_object SET noted_at = now() - interval '25 hours'"))
        assert loose_objects.overdue(conn, limit=9) == [made.storage_key]
        loose_objects.forget(conn, [made.storage_key])
    assert loose(engine) == set()
