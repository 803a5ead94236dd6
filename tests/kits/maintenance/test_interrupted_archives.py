"""maintenance.archive_tasks, cut off or disturbed between file and ledger (e2e/test_maintenance.py kills it)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from taskyard.domain.errors import Fenced, LedgerUnavailable
from taskyard.domain.tasks import State
from taskyard.lifecycle.archive import Archived
from taskyard.running.upkeep import Upkeep
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, task_archives, tree_items
from taskyard.store.task_archives import Span, TaskArchive
from taskyard.store.tree_items import TreeItem
from taskyard_kits.maintenance import archive as archive_module
from tests.kits.conftest import Announced
from tests.kits.maintenance.conftest import Archive, Ledger


class Disturbed(Upkeep):
    """Something happens before or after one of its steps, for once."""

    def __init__(self, of: Ledger, step: str, happens: Callable[[], object], *, after: bool = False) -> None:
        super().__init__(partial(ledger.run_transaction, of.engine), Announced(), life=timedelta(days=1))
        self._step = step
        self._happens = happens
        self._after = after

    def store_archive(self, archive: TaskArchive, item: TreeItem, span: Span) -> None:
        with_it = partial(super().store_archive, archive, item, span)
        self._do("store", with_it)

    def delete_archived(self, archive: TaskArchive, tasks: Sequence[Archived]) -> int:
        gone: int = self._do("delete", partial(super().delete_archived, archive, tasks))
        return gone

    def close_archive(self, archive: TaskArchive) -> None:
        self._do("close", partial(super().close_archive, archive))

    def _do(self, step: str, call: Callable[[], Any]) -> Any:
        is_now = step == self._step
        if is_now and not self._after:
            self._step = ""
            self._happens()
        answer = call()
        if is_now and self._after:
            self._step = ""
            self._happens()
        return answer


def cut_off() -> None:
    raise LedgerUnavailable("cut off")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["store", "delete", "close"])
def test_an_attempt_that_is_cut_off_anywhere_loses_nothing_and_archives_nothing_twice(
    ledger_of_tasks: Ledger, archive: Archive, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    monkeypatch.setattr(archive_module, "_DELETED_AT_ONCE", 4)
    ids = [ledger_of_tasks.put(days=100 - n) for n in range(10)]
    cut = archive(upkeep=Disturbed(ledger_of_tasks, step, cut_off, after=after))
    assert cut.will_retry
    assert {*ledger_of_tasks.archived(), *ledger_of_tasks.ids()} == set(ids)
    is_complete = step == "close" and after
    assert archive().result["archived"] == (0 if is_complete else 10), "by both attempts"
    assert ledger_of_tasks.archived() == ids
    assert ledger_of_tasks.ids() == set()
    assert [(a.tasks, a.deleted) for a in ledger_of_tasks.archives()] == [(10, 10)]
    assert ledger_of_tasks.all("SELECT id FROM task_archive WHERE cleared_at IS NULL") == []


def test_bytes_whose_commit_was_cut_off_are_noted_for_the_sweep(ledger_of_tasks: Ledger, archive: Archive) -> None:
    ledger_of_tasks.put()
    archive(upkeep=Disturbed(ledger_of_tasks, "store", cut_off))
    (left,) = ledger_of_tasks.all("SELECT key FROM loose_object")
    assert ledger_of_tasks.storage.size(left) > 0
    archive()
    kept = ledger_of_tasks.all("SELECT storage_key FROM tree_item")
    assert left not in kept
    assert ledger_of_tasks.all("SELECT key FROM loose_object") == [left]


CHANGES = {
    "retried": "UPDATE task SET state = 'queued', finished_at = NULL, queued_at = now(), publication = publication + 1"
    " WHERE id = :id",
    "retried and failed again": "UPDATE task SET finished_at = now(), publication = publication + 1 WHERE id = :id",
    "discarded": "UPDATE task SET discarded_at = now() WHERE id = :id",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_task_that_changes_after_it_was_written_stays(ledger_of_tasks: Ledger, archive: Archive, change: str) -> None:
    changed, other = (ledger_of_tasks.put(State.FAILED, days=200) for _ in range(2))
    happens = partial(ledger_of_tasks.do, CHANGES[change], id=changed)
    result = archive(upkeep=Disturbed(ledger_of_tasks, "store", happens, after=True)).result
    assert (result["archived"], result["stayed"]) == (1, 1)
    assert ledger_of_tasks.ids() == {changed}
    assert sorted(ledger_of_tasks.archived()) == sorted([changed, other])
    (made,) = ledger_of_tasks.archives()
    assert (made.tasks, made.deleted) == (2, 1), "so it can be told that one of them is still there"


def test_a_task_that_gets_a_child_meanwhile_stays(ledger_of_tasks: Ledger, archive: Archive) -> None:
    parent = ledger_of_tasks.put()
    child = partial(ledger_of_tasks.put, State.QUEUED, parent_id=parent, days=0)
    assert archive(upkeep=Disturbed(ledger_of_tasks, "store", child, after=True)).result["stayed"] == 1
    assert parent in ledger_of_tasks.ids()


def test_one_task_archives_at_a_time(ledger_of_tasks: Ledger, archive: Archive) -> None:
    ledger_of_tasks.put()
    other = ledger_of_tasks.put(State.RUNNING, days=0)
    claim = ledger_of_tasks.all("SELECT claim FROM task WHERE claim IS NOT NULL")[0]
    with ledger.connection(ledger_of_tasks.engine) as conn:
        assert task_archives.begin(conn, other, claim) is not None
        assert task_archives.begin(conn, other, claim) is not None, "its own is there for it again"
    assert archive().result == {
        "archived": 0,
        "removed": 0,
        "stayed": 0,
        "item_ids": [],
        "archives_deleted": 0,
        "busy": True,
        "more": False,
    }
    assert len(ledger_of_tasks.ids()) == 2
    ledger_of_tasks.do("UPDATE task SET claim = :another WHERE id = :id", id=other, another=uuid4())
    assert archive().result["archived"] == 1, "its attempt lost the task"


def test_an_attempt_that_has_lost_its_archive_writes_no_more(ledger_of_tasks: Ledger, archive: Archive) -> None:
    ids = [ledger_of_tasks.put() for _ in range(3)]
    taken: list[TaskArchive | None] = []

    def take_over() -> None:
        with ledger.connection(ledger_of_tasks.engine) as conn:
            taken.append(task_archives.begin(conn, uuid4(), uuid4()))

    for step in ("store", "delete", "close"):
        lost = archive(upkeep=Disturbed(ledger_of_tasks, step, take_over))
        assert lost.fault.type == Fenced.__name__
        assert ledger_of_tasks.ids() == (set() if step == "close" else set(ids))
    assert len(taken) == 3
    archive()
    assert sorted(ledger_of_tasks.archived()) == sorted(ids)


def stored_file(of: Ledger) -> TreeItem:
    with ledger.connection(of.engine) as conn:
        (item,) = tree_items.page(conn, limit=10)
    return item


@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_where_the_file_is_not_what_was_written_no_task_is_deleted(
    ledger_of_tasks: Ledger, archive: Archive, how: str
) -> None:
    ids = {ledger_of_tasks.put() for _ in range(3)}
    root = ledger_of_tasks.storage._root

    def spoil() -> None:
        key = stored_file(ledger_of_tasks).storage_key
        path = root / "objects" / key[:2] / key
        if how == "gone":
            path.unlink()
        else:
            content = path.read_bytes()
            path.write_bytes(content[:-9] if how == "cut" else content[:40] + b"?" + content[41:])

    fault = archive(upkeep=Disturbed(ledger_of_tasks, "store", spoil, after=True)).fault
    item = stored_file(ledger_of_tasks)
    assert (fault.code, fault.retryable, fault.values) == ("archive_damaged", False, {"item_id": str(item.id)})
    assert ledger_of_tasks.ids() == ids
    assert archive().fault.code == "archive_damaged", "until somebody decides"
    with ledger.transaction(ledger_of_tasks.engine) as conn:
        tree_items.delete(conn, [item.id])
    assert archive().result["archived"] == 3
    assert ledger_of_tasks.ids() == set()


def delete_file(of: Ledger) -> None:
    """As `DELETE /tree-items/{id}` does."""
    with ledger.transaction(of.engine) as conn:
        (item,) = tree_items.delete(conn, [stored_file(of).id])
    of.storage.delete(item.storage_key)


class Emptied(LocalStorage):
    """Its archive is deleted right before it is opened for the nth time."""

    def __init__(self, of: Ledger, nth: int) -> None:
        super().__init__(of.storage._root)
        self._of = of
        self._left = nth

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        self._left -= 1
        if not self._left:
            delete_file(self._of)
        return super().open(key, offset=offset)


@pytest.mark.parametrize("when", ["before it is read", "before it is read again", "before a batch", "after a batch"])
def test_where_the_item_is_deleted_meanwhile_no_further_task_is_and_none_counts(
    ledger_of_tasks: Ledger, archive: Archive, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(archive_module, "_DELETED_AT_ONCE", 4)
    ids = [ledger_of_tasks.put(days=100 - n) for n in range(10)]
    given: dict[str, Any] = {}
    if "batch" in when:
        happens = partial(delete_file, ledger_of_tasks)
        given["upkeep"] = Disturbed(ledger_of_tasks, "delete", happens, after=when == "after a batch")
    else:
        given["storage"] = Emptied(ledger_of_tasks, 2 if "again" in when else 1)
    result = archive(**given).result
    assert (result["archived"], result["item_ids"]) == (0, [])
    left = ids[4:] if when == "after a batch" else ids
    assert ledger_of_tasks.ids() == set(left)
    assert archive().result["archived"] == len(left), "in a file anew"
    assert len(ledger_of_tasks.all("SELECT storage_key FROM tree_item")) == 1


def test_two_that_begin_at_the_same_time_have_one_archive(ledger_of_tasks: Ledger) -> None:
    """The second waits for the first one's transaction."""
    tasks = [ledger_of_tasks.put(State.RUNNING, days=0, claim=UUID(int=n)) for n in (1, 2)]
    with ledger.transaction(ledger_of_tasks.engine) as first:
        assert task_archives.begin(first, tasks[0], UUID(int=1)) is not None
        with ledger.connection(ledger_of_tasks.engine) as second:
            second.execute(sa.text("SET lock_timeout = '50ms'"))
            with pytest.raises(sa.exc.OperationalError):
                task_archives.begin(second, tasks[1], UUID(int=2))
    with ledger.connection(ledger_of_tasks.engine) as second:
        assert task_archives.begin(second, tasks[1], UUID(int=2)) is None
