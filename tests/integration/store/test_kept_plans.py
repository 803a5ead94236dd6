"""The connections of worker children keep their plans: what is planned for an empty ledger is right for a large one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import Failed, Succeeded
from taskyard.lifecycle.assertion import Assertion
from taskyard.lifecycle.claim import refusals, set_apart
from taskyard.lifecycle.finish import Finished
from taskyard.lifecycle.limits import hold_back
from taskyard.lifecycle.progress import Note, Progress, annotate, progress
from taskyard.lifecycle.progress_calls import call_progress
from taskyard.lifecycle.publish import delete
from taskyard.lifecycle.put_off import put_off
from taskyard.lifecycle.record import record
from taskyard.lifecycle.references import resolve
from taskyard.lifecycle.submit import submit
from taskyard.store import ledger
from taskyard.store.final_failures import failed_tasks
from taskyard.store.ledger import Plans
from tests.integration.lifecycle.rows import FAULT, NAME, QUEUE, Worker, new, register
from tests.support.cases import one_in

from .plans import Plan

MORE_THAN_PSYCOPG_TRIES_BEFORE_IT_PREPARES = 7
# The statement for plain successes, and that of each kind of batch.
FINISHES = 9
# A row for each queue: a verb that enters many tasks reads once which of them have limits.
WITH_FEW_ROWS = {"queue"}
CALLBACK = {"url": "https://example.com/told", "on": ["progress", "final"]}


@pytest.fixture
def by_key(database_url: str) -> Iterator[Engine]:
    engine = ledger.make_engine(database_url, pool_size=1, plans=Plans.BY_KEY)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    "known", one_in(3, ["vacuumed", "empty", "empty and analysed", "a thousand tasks", "a few tasks and analysed"])
)
def test_whatever_the_ledger_was_when_they_were_planned_statements_look_rows_up_by_their_keys(
    by_key: Engine, known: str
) -> None:
    with ledger.connection(by_key) as conn:
        worker = Worker(conn, register(conn))
        submit(conn, [new() for _ in range({"a few tasks and analysed": 5, "a thousand tasks": 1000}.get(known, 0))])
        if known.endswith("analysed"):
            conn.execute(sa.text("ANALYZE"))
        if known == "vacuumed":  # what is known to have one page is read as a whole for less than by its keys
            _run(worker, Succeeded(1), False, False, False)
            conn.execute(sa.text("VACUUM ANALYZE"))
        for _ in range(MORE_THAN_PSYCOPG_TRIES_BEFORE_IT_PREPARES):
            for outcome, kinds in product((Succeeded(1), Failed(FAULT)), product((False, True), repeat=3)):
                _run(worker, outcome, *kinds)
            _leave_for_now(worker)
        plans = list(_kept_plans(conn))
    assert {"claim", "finish", "assert_claims", "put_off", "hold_back", "submit"} <= {name for name, _ in plans}
    assert sum(name == "finish" for name, _ in plans) == FINISHES
    assert {table for _, plan in plans for table in _tables(plan)} >= {
        "worker",
        "workflow_step",
        "unique_key",
        "outbox",
    }
    unlocked = [(name, _looks_up_in_order(plan)) for name, plan in plans if _updates(plan) and not _locks(plan)]
    assert sorted(unlocked) == [("claim", True), ("finish", True)]
    assert {name: unkeyed for name, plan in plans if (unkeyed := _without_condition(plan))} == {}


def _run(worker: Worker, outcome: Any, calls_back: bool, is_step: bool, is_limited: bool) -> None:
    """All that a child writes and reads of tasks that it runs."""
    conn, claim_id = worker.conn, uuid4()
    given = [new(callback=CALLBACK) for _ in range(3)]
    ids = [task.id for task in given]
    submit(conn, given)
    submit(conn, given)  # reads back what is there
    won = worker.claim(ids, claim_id)
    resolve(conn, [replace(work, workflow_id=uuid4()) for work in won])
    progress(conn, [Progress(ids[0], claim_id, 1.0, None, "")])
    annotate(conn, [Note(ids[0], claim_id, "log")])
    for _ in range(2):  # the second finds that one waits
        call_progress(conn, {ids[0]: timedelta(hours=1)})
    ends = [
        Finished(task_id, claim_id, outcome, 0.1, calls_back=calls_back, is_step=is_step, is_limited=is_limited)
        for task_id in ids
    ]
    held = {task_id: Assertion(task_id, claim_id, 1, "w:1") for task_id in ids}
    for is_repeat in (False, True):  # the repeat asserts the claims, and asks how the attempts ended
        kept = record(conn, ends, lambda: held, worker_id=worker.id, is_repeat=is_repeat).answer
        assert kept.states.keys() == set(ids)
    failed_tasks(conn, ids)


def _leave_for_now(worker: Worker) -> None:
    conn = worker.conn
    late, later = new(), new()
    delete(conn, submit(conn, [late, later]).outbox_ids)
    refusals(conn, [late.id], types={}, worker_id=worker.id, queues=[QUEUE])
    set_apart(conn, [QUEUE], types={NAME: 1}, worker_id=worker.id)
    put_off(conn, [late.id], reason="unknown")
    hold_back(conn, [later.id])


def _without_condition(plan: Plan) -> list[tuple[str, str]]:
    """The tables of which more is read than what the statement looks up, and their indexes."""
    return [
        (node["Relation Name"], node.get("Index Name", ""))
        for node in plan.nodes()
        if "Scan" in node["Node Type"] and "Relation Name" in node and "Index Cond" not in node
        if node["Relation Name"] not in WITH_FEW_ROWS
    ]


def _updates(plan: Plan) -> bool:
    return any(node.get("Operation") == "Update" and node["Relation Name"] == "task" for node in plan.nodes())


def _locks(plan: Plan) -> bool:
    return any(node["Node Type"] == "LockRows" for node in plan.nodes())


def _looks_up_in_order(plan: Plan) -> bool:
    """Rows are updated in the order of their ids, as other verbs lock them."""
    (update,) = (n for n in plan.nodes() if n.get("Operation") == "Update" and n["Relation Name"] == "task")
    (read,) = (n for n in plan.nodes() if n.get("Subplan Name") == "CTE locked")
    (join,) = (n for n in update["Plans"] if n.get("Parent Relationship") == "Outer")
    outer, inner = join["Plans"]
    return (
        (join["Node Type"], outer["Node Type"], inner["Node Type"]) == ("Nested Loop", "CTE Scan", "Index Scan")
        and outer["CTE Name"] == "locked"
        and _is_by_id(read)
    )


def _is_by_id(node: dict[str, Any]) -> bool:
    match node["Node Type"]:
        case "Sort":
            return bool(node["Sort Key"] == ["t.id"])
        case "Index Scan":
            return (node["Index Name"], node["Scan Direction"]) == ("pk_task", "Forward")
        case "Result":  # a condition that is asked once
            return _is_by_id(next(n for n in node["Plans"] if n["Parent Relationship"] == "Outer"))
        case _:
            return False


def _tables(plan: Plan) -> set[str]:
    return {node["Relation Name"] for node in plan.nodes() if "Relation Name" in node}


def _kept_plans(conn: Connection) -> Iterator[tuple[str, Plan]]:
    """By the name of the verb, or the text of the statement."""
    prepared = "SELECT name, statement, cardinality(parameter_types) AS parameters FROM pg_prepared_statements"
    for row in conn.execute(sa.text(f"{prepared} WHERE generic_plans > 0")).all():
        if re.match(r"\s*(/\*.*?\*/)?\s*(SELECT|WITH)\b", row.statement):
            nothing = f"({', '.join(['NULL'] * row.parameters)})" if row.parameters else ""
            (document,) = conn.exec_driver_sql(f'EXPLAIN (FORMAT JSON) EXECUTE "{row.name}"{nothing}').scalar_one()
            verb = re.search(r"moves: (\w+)", row.statement)
            yield verb[1] if verb else row.statement, Plan(document["Plan"])
