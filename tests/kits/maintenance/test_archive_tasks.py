"""maintenance.archive_tasks: which tasks go into a file, what the file holds of them, and what goes from the ledger."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet

from taskyard.catalogue.secrets import Cipher
from taskyard.domain.errors import SoftTimeLimitExceeded
from taskyard.domain.tasks import FINAL, State
from taskyard.running.upkeep import Upkeep
from taskyard.storage.interface import ObjectMissing
from taskyard.store import ledger, old_tasks, tree_items
from taskyard.store.old_tasks import Look
from taskyard_kits.maintenance import archive as archive_module
from taskyard_kits.maintenance.settings import MaintenanceSettings
from tests.kits.maintenance.conftest import Archive, Ledger


@pytest.mark.parametrize(
    ("state", "days", "goes"),
    [
        *((state, days, days > 30) for state in ("succeeded", "cancelled") for days in (29, 31)),
        *(("failed", days, days > 180) for days in (31, 91, 179, 181)),
        *((str(state), 1000, False) for state in State if state not in FINAL),
    ],
)
def test_final_tasks_go_after_the_retention_of_their_state(
    ledger_of_tasks: Ledger, archive: Archive, state: str, days: int, goes: bool
) -> None:
    task_id = ledger_of_tasks.put(State(state), days=days)
    assert archive({"dry_run": True}).result["archived"] == goes
    assert ledger_of_tasks.ids() == {task_id}
    assert archive().result["archived"] == goes
    assert (ledger_of_tasks.ids(), ledger_of_tasks.archived()) == ((set(), [task_id]) if goes else ({task_id}, []))


@pytest.mark.parametrize("days", [89, 91])
def test_a_failed_task_that_was_discarded_goes_before_a_dead_letter(
    ledger_of_tasks: Ledger, archive: Archive, days: int
) -> None:
    task_id = ledger_of_tasks.put(State.FAILED, days=days, discarded_at=datetime.now(UTC))
    dead_letter = ledger_of_tasks.put(State.FAILED, days=days)
    archive()
    assert ledger_of_tasks.ids() == ({dead_letter} if days > 90 else {dead_letter, task_id})


def test_an_archive_holds_all_that_the_ledger_had_of_a_task(ledger_of_tasks: Ledger, archive: Archive) -> None:
    token = Cipher([Fernet.generate_key().decode()]).seal("hunter2")
    params = {"to": "ada@example.org", "big": 10**15, "login": {"token": token}, "line": "a\nb\u2028c"}
    task_id = ledger_of_tasks.put(params=params, result={"n": 1}, tags=["a"], submitted_by="mine")
    for statement in (
        """INSERT INTO task_attempt (task_id, attempt, outcome, queue, error, traceback)
        VALUES (:id, 1, 'failed', 'default', '{"code": "odd"}', 'Traceback')""",
        "INSERT INTO task_event (task_id, attempt, kind, data) VALUES (:id, 1, 'log', '{\"message\": \"hello\"}')",
        "INSERT INTO task_progress (task_id, attempt, current, total) VALUES (:id, 1, 3, 4)",
        "INSERT INTO task_mark (task_id, position) VALUES (:id, 3)",
        "INSERT INTO unique_key (name, key, task_id, hold) VALUES ('email.send', 'k', :id, 'active')",
    ):
        ledger_of_tasks.do(statement, id=task_id)
    assert archive().result["archived"] == 1
    task, attempt, event = ledger_of_tasks.lines()
    assert (task["line"], task["id"], task["state"], task["submitted_by"]) == (
        "task",
        str(task_id),
        "succeeded",
        "mine",
    )
    assert task["params"] == {**params, "login": {"token": "***"}}
    assert (task["result"], task["tags"], task["progress_current"]) == ({"n": 1}, ["a"], 3)
    assert (attempt["line"], attempt["task_id"], attempt["traceback"]) == ("attempt", str(task_id), "Traceback")
    assert attempt["error"] == {"code": "odd"}
    assert (event["line"], event["task_id"], event["data"]) == ("event", str(task_id), {"message": "hello"})
    for table in ("task", "task_attempt", "task_event", "task_progress", "task_mark", "unique_key"):
        assert ledger_of_tasks.all(f"SELECT count(*) FROM {table}") == [0], table


def test_the_file_is_an_item_of_no_key_whose_content_any_gzip_reads(ledger_of_tasks: Ledger, archive: Archive) -> None:
    ledger_of_tasks.put(submitted_by="mine", allowed_queues=["low_priority"])
    run = archive(submitted_by="mine", allowed_queues=["low_priority"])
    (made,) = ledger_of_tasks.archives()
    with ledger.connection(ledger_of_tasks.engine) as conn:
        (item,) = tree_items.page(conn, limit=10)
        assert tree_items.page(conn, limit=10, owner="mine") == [], "it holds tasks of others"
    assert (item.object_type, item.content_type, item.task_id) == ("task_archive", "application/gzip", run.task_id)
    assert [str(made.item_id)] == run.result["item_ids"] == [str(item.id)]
    with ledger_of_tasks.storage.open(item.storage_key) as file, gzip.open(file) as unpacked:
        assert len(unpacked.read().splitlines()) == 2
    assert ledger_of_tasks.all("SELECT key FROM loose_object") == []


def test_where_no_task_is_old_there_is_no_file(ledger_of_tasks: Ledger, archive: Archive) -> None:
    ledger_of_tasks.put(days=1)
    assert archive().result == {
        "archived": 0,
        "removed": 0,
        "stayed": 0,
        "item_ids": [],
        "archives_deleted": 0,
        "busy": False,
        "more": False,
    }
    assert ledger_of_tasks.all("SELECT id FROM task_archive") == ledger_of_tasks.all("SELECT id FROM tree_item") == []


def test_many_tasks_go_into_several_files_in_the_order_of_their_ids(
    ledger_of_tasks: Ledger, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "TASKS_OF_A_FILE", 120)
    monkeypatch.setattr(archive_module, "_DELETED_AT_ONCE", 50)
    monkeypatch.setattr(old_tasks, "LOOKED_AT", 70)
    old = [ledger_of_tasks.put(days=100 - n / 10) for n in range(300)]
    young = {ledger_of_tasks.put(State.FAILED, days=80) for _ in range(3)}
    result = archive().result
    assert (result["archived"], result["stayed"], len(result["item_ids"])) == (300, 0, 3)
    assert ledger_of_tasks.archived() == old
    assert ledger_of_tasks.ids() == young
    assert [(a.tasks, a.deleted, a.cleared_at is not None) for a in ledger_of_tasks.archives()] == [
        (60, 60, True),
        (120, 120, True),
        (120, 120, True),
    ]


def test_long_timelines_are_archived_page_by_page(
    ledger_of_tasks: Ledger, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "_ROWS_OF_A_PAGE", 7)
    ids = [ledger_of_tasks.put() for _ in range(3)]
    ledger_of_tasks.do(
        "INSERT INTO task_event (task_id, attempt, kind, data) SELECT id, 1, 'log', jsonb_build_object('n', n)"
        " FROM task, generate_series(1, 20) n"
    )
    archive()
    events = [(UUID(line["task_id"]), line["data"]["n"]) for line in ledger_of_tasks.lines() if line["line"] == "event"]
    assert sorted(events) == [(task_id, n) for task_id in sorted(ids) for n in range(1, 21)]


def test_ids_that_callers_chose_are_found_too(ledger_of_tasks: Ledger, archive: Archive) -> None:
    chosen = ledger_of_tasks.put(id=uuid4())
    archive()
    assert ledger_of_tasks.archived() == [chosen]


def test_a_task_stays_while_one_that_it_submitted_has_not_ended(ledger_of_tasks: Ledger, archive: Archive) -> None:
    child = ledger_of_tasks.put(State.QUEUED, parent_id=ledger_of_tasks.put())
    assert archive().result["archived"] == 0
    ledger_of_tasks.do("UPDATE task SET state = 'succeeded', finished_at = now() WHERE id = :id", id=child)
    assert archive().result["archived"] == 1
    assert ledger_of_tasks.ids() == {child}, "it goes when it is old itself"


def test_the_steps_of_a_workflow_go_together_when_its_own_time_is_over(
    ledger_of_tasks: Ledger, archive: Archive
) -> None:
    flow = uuid4()
    steps = [ledger_of_tasks.put(state, workflow_id=flow) for state in (State.SUCCEEDED, State.FAILED)]
    ledger_of_tasks.do(
        "INSERT INTO workflow (id, on_failure, queues, state, steps) VALUES (:id, 'continue', '{}', 'running', 2)",
        id=flow,
    )
    for step in steps:
        ledger_of_tasks.do(
            "INSERT INTO workflow_step (task_id, workflow_id, name, pending_needs, needs, leads_to)"
            " VALUES (:step, :id, 's', 0, '{}', '{}')",
            step=step,
            id=flow,
        )
    ledger_of_tasks.do("INSERT INTO workflow_event (workflow_id, kind) VALUES (:id, 'step')", id=flow)
    assert archive().result["archived"] == 0
    ledger_of_tasks.do("UPDATE workflow SET state = 'failed', finished_at = now() WHERE id = :id", id=flow)
    assert archive().result["archived"] == 0, "its end is what counts"
    ledger_of_tasks.do("UPDATE workflow SET finished_at = now() - interval '1000 days' WHERE id = :id", id=flow)
    assert archive().result["archived"] == 2
    for table in ("workflow", "workflow_step", "workflow_event"):
        assert ledger_of_tasks.all(f"SELECT count(*) FROM {table}") == [0]


@pytest.mark.parametrize("state", [state for state in State if state is not State.SUCCEEDED])
def test_a_child_stays_while_its_parent_may_run_again(ledger_of_tasks: Ledger, archive: Archive, state: State) -> None:
    """A retry would submit one with the same key anew."""
    parent = ledger_of_tasks.put(state, days=31 if state is State.FAILED else 29)
    child = ledger_of_tasks.put(parent_id=parent, days=31)
    assert archive({"dry_run": True}).result["archived"] == archive().result["archived"] == 0
    ledger_of_tasks.do("DELETE FROM task WHERE id = :id", id=parent)
    assert archive().result["archived"] == 1
    assert ledger_of_tasks.archived() == [child]


def test_the_children_of_a_task_that_succeeded_go_by_their_own_age(ledger_of_tasks: Ledger, archive: Archive) -> None:
    parent = ledger_of_tasks.put(days=29)
    child = ledger_of_tasks.put(parent_id=parent, days=31)
    assert archive().result["archived"] == 1
    assert ledger_of_tasks.archived() == [child]


def test_a_dry_run_tells_at_the_soft_limit_what_it_has_counted(
    ledger_of_tasks: Ledger, archive: Archive, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_tasks, "LOOKED_AT", 2)
    for _ in range(5):
        ledger_of_tasks.put()
    looks = iter([upkeep.look_for_old_tasks] * 2)

    def look(*arguments: Any) -> Look:
        for do in looks:
            return do(*arguments)
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(upkeep, "look_for_old_tasks", look)
    result = archive({"dry_run": True}).result
    assert (result["archived"], result["more"]) == (4, True)


def test_a_retention_of_no_days_archives_what_has_just_ended(ledger_of_tasks: Ledger, archive: Archive) -> None:
    done = [ledger_of_tasks.put(state, days=0) for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)]
    none = MaintenanceSettings(
        archive_succeeded_after_days=0, archive_dead_letters_after_days=0, archive_cancelled_after_days=0
    )
    assert archive(settings=none).result["archived"] == 3
    assert sorted(ledger_of_tasks.archived()) == sorted(done)


def test_archives_go_after_their_own_time_and_no_open_one_does(ledger_of_tasks: Ledger, archive: Archive) -> None:
    for _ in range(3):
        ledger_of_tasks.put()
        archive()
    old, still_open, young = [made.item_id for made in reversed(ledger_of_tasks.archives())]
    ledger_of_tasks.do("UPDATE tree_item SET created_at = now() - interval '8 days' WHERE id <> :id", id=young)
    ledger_of_tasks.do("UPDATE task_archive SET cleared_at = NULL WHERE item_id = :id", id=still_open)
    assert archive().result["archives_deleted"] == 0, "without a setting they stay"
    ledger_of_tasks.do("UPDATE task_archive SET cleared_at = NULL WHERE item_id = :id", id=still_open)
    (key,) = ledger_of_tasks.all(f"SELECT storage_key FROM tree_item WHERE id = '{old}'")
    week = MaintenanceSettings(archives_kept_days=7)
    assert archive(settings=week).result["archives_deleted"] == 1
    assert set(ledger_of_tasks.all("SELECT id FROM tree_item")) == {still_open, young}
    with pytest.raises(ObjectMissing):
        ledger_of_tasks.storage.size(key)
    assert ledger_of_tasks.all("SELECT target_id FROM audit WHERE action = 'tree_item.delete'") == [str(old)]
