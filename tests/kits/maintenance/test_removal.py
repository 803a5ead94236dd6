"""maintenance.archive_tasks, where tasks of some states are removed without a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy import Connection, Engine

from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.tasks import Failed, State, Succeeded
from taskyard.lifecycle.cancel import cancel
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.finish import Finished, finish
from taskyard.lifecycle.retry import retry
from taskyard.lifecycle.submit import SubmittedTask, submit
from taskyard.running.upkeep import Upkeep
from taskyard.store import ledger, old_tasks
from taskyard.store.old_tasks import Ages
from taskyard_kits.maintenance import removal
from taskyard_kits.maintenance.settings import MaintenanceSettings
from tests.integration.lifecycle import rows
from tests.kits.conftest import Announced
from tests.kits.maintenance.conftest import SETTINGS, Archive, Ledger


class CutOff(Upkeep):
    """PostgreSQL is away from the second batch on."""

    def __init__(self, of: Ledger) -> None:
        super().__init__(partial(ledger.run_transaction, of.engine), Announced(), life=timedelta(days=1))
        self._left = 1

    def remove_old(self, ids: Sequence[UUID], ages: Ages) -> int:
        if not self._left:
            raise LedgerUnavailable("cut off")
        self._left -= 1
        return super().remove_old(ids, ages)


ALL = MaintenanceSettings(remove_states=("succeeded", "failed", "cancelled"))


def test_only_states_that_the_operator_names_are_removed_without_a_file(
    ledger_of_tasks: Ledger, archive: Archive
) -> None:
    succeeded = [ledger_of_tasks.put(days=31) for _ in range(3)]
    cancelled = ledger_of_tasks.put(State.CANCELLED, days=31)
    young = {ledger_of_tasks.put(days=29), ledger_of_tasks.put(State.QUEUED)}
    settings = MaintenanceSettings(remove_states=("succeeded",))
    counted = archive({"dry_run": True}, settings=settings).result
    assert (counted["removed"], counted["archived"]) == (3, 1)
    assert ledger_of_tasks.ids() == {*succeeded, cancelled, *young}
    run = archive(settings=settings)
    assert (run.result["removed"], run.result["archived"], run.result["more"]) == (3, 1, False)
    assert run.attributes == {"archive.tasks": 1, "archive.removed": 3}
    assert (ledger_of_tasks.archived(), ledger_of_tasks.ids()) == ([cancelled], young)


def test_with_a_task_goes_all_that_the_ledger_has_of_it(ledger_of_tasks: Ledger, archive: Archive) -> None:
    task_id = ledger_of_tasks.put()
    for statement in (
        "INSERT INTO task_attempt (task_id, attempt, outcome, queue) VALUES (:id, 1, 'failed', 'default')",
        "INSERT INTO task_event (task_id, attempt, kind) VALUES (:id, 1, 'log')",
        "INSERT INTO task_progress (task_id, attempt, current) VALUES (:id, 1, 3)",
        "INSERT INTO task_mark (task_id, position) VALUES (:id, 3)",
        "INSERT INTO unique_key (name, key, task_id, hold) VALUES ('email.send', 'k', :id, 'active')",
    ):
        ledger_of_tasks.do(statement, id=task_id)
    assert archive(settings=ALL).result["removed"] == 1
    for table in ("task", "task_attempt", "task_event", "task_progress", "task_mark", "unique_key", "task_archive"):
        assert ledger_of_tasks.all(f"SELECT count(*) FROM {table}") == [0], table


@pytest.mark.parametrize("settings", [SETTINGS, ALL])
def test_a_workflow_with_a_dead_letter_stays_as_long_as_the_dead_letter_does(
    ledger_of_tasks: Ledger, archive: Archive, settings: MaintenanceSettings
) -> None:
    flow = uuid4()
    steps = [ledger_of_tasks.put(state, days=179, workflow_id=flow) for state in (State.SUCCEEDED, State.FAILED)]
    ledger_of_tasks.do(
        "INSERT INTO workflow (id, on_failure, queues, state, steps, finished_at)"
        " VALUES (:id, 'continue', '{}', 'failed', 2, now() - interval '179 days')",
        id=flow,
    )
    for step in steps:
        ledger_of_tasks.do(
            "INSERT INTO workflow_step (task_id, workflow_id, name, pending_needs, needs, leads_to)"
            " VALUES (:step, :id, 's', 0, '{}', '{}')",
            step=step,
            id=flow,
        )
    archive(settings=settings)
    assert ledger_of_tasks.ids() == set(steps)
    ledger_of_tasks.do("UPDATE task SET discarded_at = now() WHERE state = 'failed'")
    archive(settings=settings)
    assert ledger_of_tasks.ids() == set()
    for table in ("workflow", "workflow_step"):
        assert ledger_of_tasks.all(f"SELECT count(*) FROM {table}") == [0]


@pytest.mark.parametrize("state", [state for state in State if state is not State.SUCCEEDED])
def test_a_child_stays_while_its_parent_may_run_again(ledger_of_tasks: Ledger, archive: Archive, state: State) -> None:
    parent = ledger_of_tasks.put(state, days=29)
    child = ledger_of_tasks.put(parent_id=parent, days=31)
    assert archive(settings=ALL).result["removed"] == 0
    assert ledger_of_tasks.ids() == {parent, child}


def test_a_task_that_another_transaction_holds_is_left_to_the_next_run(
    ledger_of_tasks: Ledger, archive: Archive
) -> None:
    held, free = ledger_of_tasks.put(), ledger_of_tasks.put()
    with ledger.transaction(ledger_of_tasks.engine) as conn:
        conn.exec_driver_sql("SELECT FROM task WHERE id = %s FOR UPDATE", (held,))
        assert archive(settings=ALL).result["removed"] == 1
        assert free not in ledger_of_tasks.ids()
    assert archive(settings=ALL).result["removed"] == 1


def test_a_task_that_is_retried_after_it_was_found_stays(ledger_of_tasks: Ledger, upkeep: Upkeep) -> None:
    retried = ledger_of_tasks.put(State.QUEUED)
    assert upkeep.remove_old([retried], ALL.removed) == 0
    assert ledger_of_tasks.ids() == {retried}


def test_a_look_reads_few_rows_also_where_few_tasks_have_submitted_most_of_those_that_live(
    engine: Engine, ledger_of_tasks: Ledger
) -> None:
    """Which tasks are waited for is asked once, by the ids of the look: neither for each row of the table, nor of all
    live tasks, which PostgreSQL would rather read than an index that it takes to have few keys."""
    ledger_of_tasks.do(_TASKS_OF_FEW)
    asked = {"after": UUID(int=0), "before": UUID(int=(1 << 128) - 1), "limit": 1_000}
    with ledger.connection(engine) as conn:
        conn.execute(sa.text("ANALYZE task"))
        explain = sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {old_tasks._LOOK}")
        plan = conn.execute(explain, {**asked, **ALL.removed.intervals()}).scalar_one()
    assert sum(_rows_read(plan[0]["Plan"])) < 5_000


def _rows_read(plan: dict[str, Any]) -> Iterator[float]:
    """Of each scan of the table, those that a filter left out, too."""
    if plan.get("Relation Name") == "task":
        rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        yield rows * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from _rows_read(part)


def test_an_attempt_that_is_cut_off_leaves_the_rest_to_the_next(
    ledger_of_tasks: Ledger, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "_AT_ONCE", 2)
    for _ in range(5):
        ledger_of_tasks.put()
    cut = archive(settings=ALL, upkeep=CutOff(ledger_of_tasks))
    assert cut.will_retry
    assert len(ledger_of_tasks.ids()) == 3
    assert archive(settings=ALL).result["removed"] == 3


def test_other_words_than_final_states_are_refused() -> None:
    with pytest.raises(ValidationError, match="takes cancelled, failed, succeeded, separated by commas"):
        MaintenanceSettings(remove_states=("queued",))


@pytest.mark.long
def test_the_removal_of_a_hundred_thousand_tasks_holds_up_no_other_verb(
    engine: Engine, ledger_of_tasks: Ledger, archive: Archive
) -> None:
    """Tasks are submitted, claimed, finished, retried and cancelled meanwhile, and none of it waits for a lock. Of the
    old ones, too, some are: the removal does not wait for them, and takes none that was retried."""
    ledger_of_tasks.do(_HUNDRED_THOUSAND)
    done = threading.Event()
    with ThreadPoolExecutor(3) as threads:
        waits = threads.submit(_lock_waits, engine, done)
        others = threads.submit(_other_verbs, engine, done)
        same = threads.submit(_verbs_on_old_tasks, engine, done)
        try:
            result = archive(settings=ALL).result
        finally:
            done.set()
        retried = same.result()
        assert others.result() > 10
        assert waits.result() == []
    assert set(ledger_of_tasks.all("SELECT id FROM task WHERE state = 'queued'")) >= retried
    left = ledger_of_tasks.all(f"SELECT id FROM task WHERE {_IS_OLD}")
    assert retried, "the two met"
    assert retried <= set(left)
    assert result["removed"] == 100_000 - len(left), "what was held is left to the next run"
    assert archive(settings=ALL).result["removed"] == len(left) - len(retried)


_IS_OLD = "created_at < now() - interval '1 day'"
# Every tenth can be retried.
_HUNDRED_THOUSAND = """
INSERT INTO task (id, name, queue, params, max_attempts, soft_timeout_seconds, hard_timeout_seconds, created_at, state,
    run_at, finished_at, attempt)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
    'email.send', 'default', '{}', 4, 540, 600, at, CASE n % 10 WHEN 0 THEN 'cancelled' ELSE 'succeeded' END, at, at, 1
FROM (SELECT n, now() - interval '100 days' + n * interval '1 second' AS at FROM generate_series(1, 100000) n) of_all
"""
# 20,000 that have ended and 60,000 that wait, nearly all of them submitted by three.
_TASKS_OF_FEW = """
INSERT INTO task (id, name, queue, params, max_attempts, soft_timeout_seconds, hard_timeout_seconds, created_at, state,
    run_at, finished_at, attempt, parent_id)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
    'email.send', 'default', '{}', 4, 540, 600, at, CASE WHEN n > 20000 THEN 'queued' ELSE 'succeeded' END, at,
    CASE WHEN n <= 20000 THEN at END, 0,
    CASE WHEN n % 100 > 5 THEN ('00000000-0000-7000-8000-00000000000' || n % 3)::uuid END
FROM (SELECT n, now() - interval '100 days' + n * interval '1 second' AS at FROM generate_series(1, 80000) n) of_all
"""


def _other_verbs(engine: Engine, done: threading.Event) -> int:
    rounds = 0
    with ledger.transaction(engine) as conn:
        worker_id = rows.register(conn)
    while not done.is_set():
        ids = [task.id for task in ledger.run_transaction(engine, _submitted).answer]
        claim_id = uuid4()

        def work(conn: Connection, ids: list[UUID] = ids, claim_id: UUID = claim_id) -> None:
            rows.Worker(conn, worker_id).claim(ids[:2], claim_id)
            ends = Finished(ids[0], claim_id, Succeeded({}), 0.1), Finished(ids[1], claim_id, Failed(rows.FAULT), 0.1)
            finish(conn, ends)
            retry(conn, [ids[1]], life=timedelta(days=1))
            cancel(conn, ids[2:])

        ledger.run_transaction(engine, work)
        rounds += 1
    return rounds


def _verbs_on_old_tasks(engine: Engine, done: threading.Event) -> set[UUID]:
    """On those that the removal comes to next; answers which were retried. A verb may wait for the removal of a row."""
    retried: set[UUID] = set()

    def work(conn: Connection) -> Committed[None]:
        conn.exec_driver_sql("SET LOCAL application_name = 'old tasks'")
        ids = conn.scalars(
            sa.text(f"SELECT id FROM task WHERE state = 'cancelled' AND {_IS_OLD} ORDER BY id LIMIT 20")
        ).all()
        cancel(conn, ids)
        return retry(conn, ids[::4], life=timedelta(days=1))

    while not done.is_set():
        retried |= {change.task_id for change in ledger.run_transaction(engine, work).changes}
    return retried


def _submitted(conn: Connection) -> Committed[list[SubmittedTask]]:
    return submit(conn, [rows.new() for _ in range(4)])


def _lock_waits(engine: Engine, done: threading.Event) -> list[str]:
    """The statements that were seen waiting for a lock of a row or table."""
    seen: list[str] = []
    waiting = sa.text(
        "SELECT left(query, 80) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND wait_event <> 'extend'"
        " AND application_name <> 'old tasks'"
    )
    while not done.wait(0.002):
        with ledger.connection(engine) as conn:
            seen += conn.execute(waiting).scalars()
    return seen
