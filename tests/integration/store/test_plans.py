"""Every query stays flat at a million tasks: no scan of the whole table, and a bound on the pages read.

Pages, not milliseconds: they are the same on every machine. Two shapes: nearly all tasks wait, nearly all are done.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.broker.names import Names
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import LIVE, WAITING, Failed, Fault, Publication, Released, State, Succeeded
from taskyard.domain.workflows import NewStep, NewWorkflow, OnFailure
from taskyard.lifecycle import (
    cancel,
    cancel_many,
    change,
    claim,
    explanation,
    finish,
    held_steps,
    progress,
    promote,
    publish,
    rescue,
    retry,
    submit,
    sweeps,
    workers,
    workflows,
)
from taskyard.lifecycle.put_off import put_off, take_up
from taskyard.lifecycle.replay import discard_dead_letters as discard
from taskyard.lifecycle.replay import replay_dead_letters as replay
from taskyard.store import audit, dead_letters, fleet, ledger, live_tasks, reads, task_types
from taskyard.store import workflows as flows
from taskyard.store.audit import Actor
from taskyard.store.selection_runs import Kind, Reader, Status, run_by_id, runs_page
from taskyard_scheduler import depth, queued_tasks
from taskyard_scheduler.queued_tasks import PAGE, Position, QueuedTasks
from tests.support.ledger import new_task

from . import seeding
from .plans import Plan, plans_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plans"), pytest.mark.timeout(300)]

N = 16
TYPES = dict.fromkeys([*seeding.NAMES, seeding.RARE_NAME], 1)
FAULT = Fault("smtp_refused", "The mail server refused.", "SMTPError", True)


@dataclass(frozen=True)
class Seeded:
    """A transaction on the seeded database that is never committed, and rows to try things on."""

    conn: Connection
    queued: list[UUID]
    failed: list[UUID]
    middle: UUID
    is_waiting: bool

    def new(self) -> submit.NewTask:
        return new_task(seeding.NAMES[0], params={"value": 1})

    def claim(self, conn: Connection, claim_id: UUID) -> list[claim.Claimed]:
        return claim.claim(
            conn, self.queued, claim=claim_id, worker_id=seeding.LIVE_WORKER, worker="w:1", types=TYPES
        ).answer

    def measure(self, verb: Callable[[Connection], object], *, pages: int) -> list[Plan]:
        """Runs the verb's statements and checks that each is flat."""
        plans = plans_of(self.conn, verb)
        assert plans
        for plan in plans:
            big = plan.seq_scans & {"task", "task_attempt", "task_event", "task_progress", "unique_key", "audit"}
            assert not big, f"scans all of {big}:\n{plan}"
            assert plan.buffers <= pages, f"{plan.buffers} pages instead of {pages}:\n{plan}"
        return plans


@pytest.fixture(scope="module", params=["waiting", "finished"])
def million(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Seeded]:
    url = new_database()
    mix = seeding.WAITING if request.param == "waiting" else seeding.FINISHED
    seeding.seed(url.replace("+psycopg", ""), mix)
    engine = ledger.make_engine(url)
    try:
        with ledger.transaction(engine) as conn:

            def ids(condition: str) -> list[UUID]:
                rows = conn.execute(sa.text(f"SELECT id FROM task WHERE {condition} LIMIT {N * 100}"))
                return list(rows.scalars())

            queued = ids("state = 'queued' AND (expires_at IS NULL OR expires_at > now() + interval '1 hour')")
            failed = ids("state = 'failed' ORDER BY id DESC")
            middle = conn.execute(sa.text("SELECT id FROM task ORDER BY id OFFSET 500000 LIMIT 1")).scalar_one()
            yield Seeded(conn, queued, failed, middle, request.param == "waiting")
            conn.rollback()
    finally:
        engine.dispose()


@pytest.fixture
def seeded(million: Seeded, turn: Iterator[int]) -> Seeded:
    """With rows that few tests before have written: what they undid is read on the way to a row."""
    n = next(turn)

    def part(ids: list[UUID]) -> list[UUID]:
        at = n % (len(ids) // N) * N
        return ids[at : at + N]

    return replace(million, queued=part(million.queued), failed=part(million.failed))


@pytest.fixture(scope="module")
def turn() -> Iterator[int]:
    return itertools.count()


def test_the_seed_is_a_million_tasks_in_every_state(seeded: Seeded) -> None:
    rows = seeded.conn.execute(sa.text("SELECT state, count(*) AS tasks FROM task GROUP BY state")).all()
    counts: dict[str, int] = {row.state: row.tasks for row in rows}
    assert sum(counts.values()) == seeding.MILLION
    assert set(State) - set(counts) == {State.BLOCKED}
    assert min(counts.values()) > 100


def test_submit_is_flat(seeded: Seeded) -> None:
    # A row goes into the table and five indexes, each some four levels deep.
    seeded.measure(lambda conn: submit.submit(conn, [seeded.new() for _ in range(N)]), pages=N * 40)


def test_claim_is_flat(seeded: Seeded) -> None:
    claim_id = uuid4()
    seeded.measure(lambda conn: seeded.claim(conn, claim_id), pages=N * 40)
    with seeded.conn.begin_nested() as undone:
        assert len(seeded.claim(seeded.conn, claim_id)) == N
        undone.rollback()


def test_explaining_and_putting_off_lost_claims_is_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: claim.refusals(conn, seeded.queued, types={"other": 1}), pages=N * 10)
    # Another worker lives and runs all of them.
    elsewhere = partial(claim.refusals, ids=seeded.queued, types=dict.fromkeys(TYPES, 0), lease=timedelta(days=1))
    with seeded.conn.begin_nested() as undone:
        task_types.write_worker(seeded.conn, seeding.LIVE_WORKER, TYPES)
        assert {refusal.reason for refusal in elsewhere(seeded.conn)} == {"elsewhere"}
        seeded.measure(elsewhere, pages=N * 30)
        undone.rollback()
    seeded.measure(lambda conn: put_off(conn, seeded.queued, reason="unknown"), pages=N * 50)


def test_explaining_a_task_counts_what_is_before_it_up_to_a_bound(seeded: Seeded) -> None:
    """The newest task of each queue and state: all others of the queue are before it."""
    newest = "SELECT DISTINCT ON (state, queue) id FROM task ORDER BY state, queue, id DESC"
    attempts = """INSERT INTO task_attempt (task_id, attempt, outcome, queue)
        SELECT id, 1, 'failed', queue FROM task LIMIT 5000"""
    with seeded.conn.begin_nested() as undone:
        seeded.conn.execute(sa.text(attempts))
        for task_id in seeded.conn.execute(sa.text(newest)).scalars().all():
            explain = partial(explanation.facts_of, task_id=task_id, lease=timedelta(seconds=20))
            plan, *_ = seeded.measure(explain, pages=explanation.MOST_AHEAD // 50 + 100)
            scans = plan.scans("task")
            assert "Index Only Scan ix_task_live" in scans, str(plan)
            assert any(scan.endswith("ix_task_limited_queue") for scan in scans), str(plan)
            found = explain(seeded.conn)
            assert found is not None
            if seeded.is_waiting and (found.task["state"], found.task["queue"]) == ("queued", "default"):
                assert found.task["ahead"] == explanation.MOST_AHEAD + 1
        undone.rollback()


def test_taking_up_what_was_put_off_reads_the_beginning_of_an_index(seeded: Seeded) -> None:
    take = partial(take_up, queues=seeding.QUEUES, types=TYPES, limit=100)
    with seeded.conn.begin_nested() as undone:
        put_off(seeded.conn, seeded.queued, reason="unknown")
        seeded.measure(take, pages=100 * 40)
        assert take(seeded.conn).answer > 0
        undone.rollback()


def test_the_writes_of_an_attempt_are_flat(seeded: Seeded) -> None:
    claim_id = uuid4()
    with seeded.conn.begin_nested() as undone:
        ids = [won.id for won in seeded.claim(seeded.conn, claim_id)]
        for outcome in (Succeeded({"value": 1}), Failed(FAULT), Released("drained")):
            # No steps, or nobody knows. The planner may read all that runs: no more in a larger ledger.
            for is_step, pages in ((False, 60), (True, 70)):
                ends = [finish.Finished(i, claim_id, outcome, 0.1, is_step=is_step) for i in ids]
                seeded.measure(lambda conn, ends=ends: finish.finish(conn, ends), pages=N * pages)  # type: ignore[misc]
        lost = [rescue.Lost(i, claim_id, rescue.Guilt.GUILTY, "killed") for i in ids]
        seeded.measure(lambda conn: rescue.lose(conn, lost), pages=N * 60)
        standing = [progress.Progress(i, claim_id, 1, 2, "half") for i in ids]
        seeded.measure(lambda conn: progress.progress(conn, standing), pages=N * 30)
        notes = [progress.Note(i, claim_id, "log", {"message": "x"}) for i in ids]
        seeded.measure(lambda conn: progress.annotate(conn, notes), pages=N * 30)
        undone.rollback()


def test_cancel_and_retry_are_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: cancel.cancel(conn, seeded.queued), pages=N * 50)
    seeded.measure(lambda conn: retry.retry(conn, seeded.failed, life=timedelta(days=1)), pages=N * 50)


def test_promotion_and_expiry_are_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: promote.promote(conn, limit=100), pages=100 * 40)
    plans = seeded.measure(promote.next_due, pages=20)
    assert plans[0].scans("task") == ["Index Only Scan ix_task_due"]
    seeded.measure(lambda conn: promote.expire(conn, limit=100), pages=100 * 40)


def test_finding_orphans_touches_running_rows_only(seeded: Seeded) -> None:
    running = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE state = 'running'")).scalar_one()
    with seeded.conn.begin_nested():
        found = rescue.orphans(seeded.conn)
        held = workers.held(seeded.conn, seeding.LIVE_WORKER)
    assert found
    assert len(found) + len(held) == running
    seeded.measure(rescue.orphans, pages=running * 2 + 200)
    seeded.measure(lambda conn: workers.held(conn, seeding.LIVE_WORKER), pages=running * 2 + 200)
    seeded.measure(fleet.running_tasks, pages=running * 2 + 200)


def test_depth_reads_only_the_index_of_live_tasks(seeded: Seeded) -> None:
    live = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE finished_at IS NULL")).scalar_one()
    parameters = {"states": [s.value for s in State], "head": 1000}
    (plan,) = seeded.measure(lambda conn: conn.execute(depth._SNAPSHOT, parameters), pages=live // 100 + 5 * 1000 + 500)
    assert "Index Only Scan ix_task_live" in plan.scans("task"), str(plan)


def test_the_load_of_all_queues_reads_no_more_than_the_bound_of_each(seeded: Seeded) -> None:
    due = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE due_at <= now()")).scalar_one()
    running = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE state = 'running'")).scalar_one()
    bound = len(seeding.QUEUES) * fleet.MOST_COUNTED // 50 + 2 * running + 2 * due + 100
    seeded.measure(lambda conn: fleet.load(conn, seeding.QUEUES, lease=timedelta(seconds=20)), pages=bound)
    counted = fleet.load(seeded.conn, seeding.QUEUES, lease=timedelta(seconds=20))
    assert counted["waiting"] > 10 * running if seeded.is_waiting else counted["waiting"] > 0
    assert counted["waiting"] <= len(seeding.QUEUES) * fleet.MOST_COUNTED
    assert counted["running"] == running


def test_counting_dead_letters_reads_only_their_index(seeded: Seeded) -> None:
    dead = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE state = 'failed'")).scalar_one()
    plan, _ = seeded.measure(depth._count_dead_letters, pages=dead // 50 + 500)
    assert all(scan.startswith("Index Only Scan ix_task_dead_letter") for scan in plan.scans("task")), str(plan)


def test_the_overdue_outbox_is_found_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: publish.overdue(conn, older_than=timedelta(0)), pages=200 * 6)
    (plan,) = plans_of(seeded.conn, lambda conn: publish.overdue(conn, older_than=timedelta(0)))
    assert plan.scans("task") == ["Index Scan pk_task"], str(plan)


def test_a_walk_through_queued_tasks_reads_a_page_and_its_rows(seeded: Seeded) -> None:
    after = min(seeded.queued)
    first = {"queue": "default", "after": after, "limit": 1000, "age": 30.0}
    seeded.measure(lambda conn: conn.execute(queued_tasks._QUEUED, first), pages=1000 + 50)
    (plan,) = seeded.measure(lambda conn: conn.execute(queued_tasks._NEXT_QUEUE, {"queue": "default"}), pages=20)
    assert plan.scans("task") == ["Index Only Scan ix_task_live"], str(plan)


def test_a_turn_of_reconcile_is_flat(seeded: Seeded) -> None:
    """A page of the walk at its beginning, in the middle of a long queue, and at a queue's end."""
    tasks = QueuedTasks(redis.Redis(), Names())
    row = seeded.conn.execute(sa.text("SELECT queue FROM task WHERE id = :id"), {"id": seeded.middle}).one()
    for position in (
        Position(),
        Position("default"),
        Position(row.queue, seeded.middle),
        Position("selection", UUID(int=2**128 - 1)),
    ):
        seeded.measure(lambda conn, position=position: tasks.page(conn, position), pages=PAGE * 2 + 100)  # type: ignore[misc]
    suspects = [Publication(i, "default", 1) for i in seeded.queued]
    seeded.measure(lambda conn: tasks.still_queued(conn, suspects), pages=N * 10 + 50)
    seeded.measure(lambda conn: tasks.publish_again(conn, suspects), pages=N * 20 + 100)


def test_reconcile_reads_a_long_outbox_once_a_page(seeded: Seeded) -> None:
    """After an outage of Redis the outbox holds what was submitted meanwhile: a row a task at worst."""
    tasks = QueuedTasks(redis.Redis(), Names())
    ids = seeded.conn.execute(sa.text("SELECT id FROM task WHERE state = 'queued' LIMIT 500")).scalars()
    suspects = [Publication(i, "default", 1) for i in ids]
    with seeded.conn.begin_nested() as undone:
        fill = "INSERT INTO outbox (task_ids) SELECT ARRAY[gen_random_uuid()] FROM generate_series(1, 5000)"
        seeded.conn.execute(sa.text(fill))
        for verb in (tasks.still_queued, tasks.publish_again):
            for plan in plans_of(seeded.conn, lambda conn, verb=verb: verb(conn, suspects)):  # type: ignore[misc]
                compared = max(n.get("Rows Removed by Join Filter", 0) for n in plan.nodes())
                assert compared < 1_000_000, f"{compared} of 2,500,000 comparisons:\n{plan}"
        undone.rollback()


def test_reading_tasks_by_their_ids_is_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: reads.task_by_id(conn, seeded.queued[0]), pages=10)
    seeded.measure(lambda conn: reads.standings(conn, seeded.queued), pages=N * 15)


NAMES = (seeding.NAMES[0], seeding.RARE_NAME, "no.such")
QUEUES = ("default", "selection", "no_such")
TAGS = (seeding.COMMON_TAG, seeding.RARE_TAG, "no_such")
BY_STATE = [[state] for state in State] + [[State.QUEUED, State.RUNNING], [State.QUEUED, State.FAILED]]
FILTERS: list[dict[str, Any]] = [
    {},
    *({"states": states} for states in BY_STATE),
    *({"name": name} for name in NAMES),
    *({"name": name, "states": states} for name in NAMES for states in BY_STATE),
    *({"queue": queue} for queue in QUEUES),
    *({"queues": [queue]} for queue in QUEUES),
    {"queues": list(seeding.QUEUES)},
    *({"queue": queue, "states": states} for queue in QUEUES for states in BY_STATE),
    {"name": seeding.NAMES[0], "queue": "default"},
]


def _named(wanted: dict[str, Any]) -> str:
    return " ".join(f"{k}={'+'.join(v) if isinstance(v, list) else v}" for k, v in wanted.items()) or "all"


@pytest.mark.parametrize("wanted", FILTERS, ids=_named)
def test_a_page_of_a_list_is_flat(seeded: Seeded, wanted: dict[str, Any]) -> None:
    # At most one walk of 50 rows per queue and state, a few pages a row.
    walks = len(seeding.QUEUES) * len(wanted.get("states") or State) if "name" not in wanted else len(State)
    pages = 400 + 60 * walks
    seeded.measure(lambda conn: reads.tasks_page(conn, reads.TaskFilter(**wanted)), pages=pages)
    seeded.measure(lambda conn: reads.tasks_page(conn, reads.TaskFilter(**wanted), before=seeded.middle), pages=pages)


@pytest.mark.parametrize("states", [(), (State.RUNNING,), (State.SUCCEEDED,)], ids=str)
@pytest.mark.parametrize("tag", TAGS)
def test_a_list_by_tag_reads_the_tagged_rows_at_worst(seeded: Seeded, tag: str, states: tuple[State, ...]) -> None:
    # A tag in 1,000 rows of a million: all of them, in each queue. A common tag with a final state behind a backlog is
    # known not to be flat (docs/decisions/0003-indexes.md): it passes over the backlog, and still scans no table.
    behind_a_backlog = tag == seeding.COMMON_TAG and State.SUCCEEDED in states and seeded.is_waiting
    pages = 2_000_000 if behind_a_backlog else 6500
    seeded.measure(lambda conn: reads.tasks_page(conn, reads.TaskFilter(tag=tag, states=states)), pages=pages)


def test_a_list_of_a_span_of_time_reads_that_span_and_the_skew_of_clocks(seeded: Seeded) -> None:
    # The seed has 1,000 tasks a second, so that the room for skewed clocks holds 300,000 of them.
    now = seeded.conn.execute(sa.text("SELECT now()")).scalar_one()
    wanted = reads.TaskFilter(created_after=now - timedelta(minutes=8), created_before=now - timedelta(minutes=7))
    seeded.measure(lambda conn: reads.tasks_page(conn, wanted), pages=20_000)


def test_selection_runs_are_read_flat(seeded: Seeded) -> None:
    # Of 24 walks (three types, eight states) most find nothing; a walk of 50 rows reads them, and each row of the page
    # has its worker, progress and messages looked up.
    reader = Reader(lease=timedelta(seconds=30))
    with seeded.conn.begin_nested() as undone:
        rename = sa.text("UPDATE task SET name = 'selection.run_select' WHERE name = :name RETURNING id")
        run = seeded.conn.execute(rename, {"name": seeding.RARE_NAME}).scalars().first()
        assert run is not None
        wanted: list[dict[str, Any]] = [{}, {"kind": Kind.RUN_SELECT}, *({"status": status} for status in Status)]
        for one in wanted:
            seeded.measure(partial(runs_page, reader=reader, **one), pages=1_000)
            seeded.measure(partial(runs_page, reader=reader, before=seeded.middle, **one), pages=1_000)
        seeded.measure(partial(run_by_id, run_id=run, reader=reader), pages=20)
        undone.rollback()


DEAD: list[dict[str, Any]] = [
    {},
    {"name": seeding.NAMES[0]},
    {"name": seeding.RARE_NAME},
    {"name": "no.such"},
    {"queue": "default"},
    {"queue": "selection"},
    {"queues": frozenset({"selection"})},
    {"code": "smtp_refused"},
    {"code": seeding.RARE_CODE},
    {"code": "no_such"},
    {"code": seeding.RARE_CODE, "queue": "default"},
    {"name": seeding.NAMES[1], "code": seeding.RARE_CODE},
    {"name": seeding.RARE_NAME, "code": "smtp_refused"},
]


@pytest.mark.parametrize("wanted", DEAD, ids=str)
def test_a_page_of_dead_letters_is_flat(seeded: Seeded, wanted: dict[str, Any]) -> None:
    # A walk of at most 50 rows in each queue, over rows that are not in order of their making, and the 50 themselves.
    asked = dead_letters.Wanted(**wanted)
    pages = len(seeding.QUEUES) * 60 + 400
    if seeded.is_waiting and {"name", "code"} <= wanted.keys():
        # Few have failed here, and by its statistics the planner may look at all of a queue that share the code (some
        # 200) for the name. Where many have failed it takes the index on both, which the other shape holds it to.
        pages += len(seeding.QUEUES) * 200
    plans = seeded.measure(lambda conn: dead_letters.page(conn, asked), pages=pages)
    plans += seeded.measure(lambda conn: dead_letters.page(conn, asked, before=seeded.middle), pages=pages)
    for plan in plans:
        assert all("dead_letter" in scan or "pk_task" in scan for scan in plan.scans("task")), str(plan)


@pytest.mark.parametrize("wanted", DEAD, ids=str)
def test_retrying_and_discarding_dead_letters_is_flat(seeded: Seeded, wanted: dict[str, Any]) -> None:
    # Counting looks at every one that matches, choosing and writing only at so many.
    asked, by, limit = dead_letters.Wanted(**wanted), Actor("ops"), 100
    dead = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE state = 'failed'")).scalar_one()
    pages = dead + limit * 60 + 500
    seeded.measure(lambda conn: dead_letters.count(conn, asked), pages=dead + 500)
    more: dict[str, Any] = {"life": timedelta(days=1), "per_second": 50}
    seeded.measure(lambda conn: replay(conn, asked, by=by, limit=limit, **more), pages=pages)
    seeded.measure(lambda conn: discard(conn, asked, by=by, limit=limit), pages=pages)


LIVE_FILTERS: list[dict[str, Any]] = [
    {"queue": "default", "states": WAITING},
    {"states": LIVE},
    {"name": seeding.NAMES[0], "states": LIVE},
    {"queue": "default", "tag": "none_such", "states": {State.RUNNING}},
]


@pytest.mark.parametrize("wanted", LIVE_FILTERS, ids="-".join)
def test_choosing_live_tasks_reads_no_more_than_are_chosen(seeded: Seeded, wanted: dict[str, Any]) -> None:
    asked, limit = live_tasks.Wanted(**wanted), 100
    pages = limit * len(LIVE) * len(seeding.QUEUES) * 2 + 500
    for plan in seeded.measure(lambda conn: live_tasks.choose(conn, asked, limit=limit), pages=pages):
        assert "Index Scan pk_task" not in plan.scans("task"), str(plan)


def test_a_batch_of_a_purge_is_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: cancel_many.purge(conn, "default", by=Actor("ops"), limit=N), pages=N * 120 + 500)


def test_a_change_is_flat(seeded: Seeded) -> None:
    changes = change.Changes(queue="low_priority", tags=["moved"])
    seeded.measure(lambda conn: change.change(conn, seeded.queued[:N], changes, life=timedelta(days=1)), pages=N * 60)


def test_retrying_and_discarding_dead_letters_by_id_is_flat(seeded: Seeded) -> None:
    asked, by = dead_letters.Wanted(ids=seeded.failed), Actor("ops")
    seeded.measure(lambda conn: replay(conn, asked, by=by, life=timedelta(days=1), per_second=50), pages=N * 70)
    seeded.measure(lambda conn: discard(conn, asked, by=by), pages=N * 70)


AUDITED: list[dict[str, Any]] = [
    {},
    {"action": audit.Action.TASK_CANCEL},
    {"action": audit.Action.KEY_REVOKE},
    {"action": audit.Action.KEY_CREATE},
    {"actor": "ci"},
    {"actor": "rare"},
    {"actor": "ci", "action": audit.Action.KEY_REVOKE},
    {"actor": "ops", "action": audit.Action.TASK_CANCEL},
]


@pytest.mark.parametrize("wanted", AUDITED, ids=str)
def test_a_page_of_the_audit_log_is_flat(seeded: Seeded, wanted: dict[str, Any]) -> None:
    # An actor without any cancellation, and an action that is old and rare, must not cause a scan of all other rows.
    seeded.measure(lambda conn: audit.page(conn, audit.AuditFilter(**wanted)), pages=150)
    row = seeded.conn.execute(sa.text("SELECT id, at FROM audit ORDER BY id OFFSET 100000 LIMIT 1")).one()
    at = {**wanted, "target": str(row.id)}
    seeded.measure(lambda conn: audit.page(conn, audit.AuditFilter(**at)), pages=20)
    seeded.measure(lambda conn: audit.page(conn, audit.AuditFilter(**wanted), before_id=row.id), pages=150)


def test_a_span_of_the_audit_log_reads_that_span_and_the_skew_of_clocks(seeded: Seeded) -> None:
    # The seed has 1,000 changes a second, so that the room for skewed clocks holds all of them but a few.
    at = seeded.conn.execute(sa.text("SELECT at FROM audit ORDER BY id OFFSET 100000 LIMIT 1")).scalar_one()
    for span in ({"after": at}, {"before": at}):
        seeded.measure(lambda conn, span=span: audit.page(conn, audit.AuditFilter(**span)), pages=6000)  # type: ignore[misc]


# Last: what they write and take back leaves pages behind that those above would read.


def test_the_ends_of_steps_are_flat(seeded: Seeded) -> None:
    """Beside two hundred thousand steps of other workflows."""
    with seeded.conn.begin_nested() as undone:
        seeded.conn.execute(
            sa.text(
                "INSERT INTO workflow_step (task_id, workflow_id, name, pending_needs, needs, leads_to)"
                " SELECT gen_random_uuid(), gen_random_uuid(), 's', 0, '{}', '{}' FROM generate_series(1, 200000)"
            )
        )
        seeded.conn.execute(sa.text("ANALYZE workflow_step"))
        flow, join, claim_id = new_id(), seeded.new(), uuid4()
        heads = [seeded.new() for _ in range(N)]
        for task in (*heads, join):
            task.workflow_id = flow
        steps = [NewStep(task=task, name=f"s{n}", leads_to=[join.id]) for n, task in enumerate(heads)]
        steps.append(NewStep(task=join, name="join", needs=[task.id for task in heads]))
        new = NewWorkflow(id=flow, name=None, on_failure=OnFailure.CANCEL_REST, steps=steps)
        workflows.start(seeded.conn, new)
        ids = [task.id for task in heads]
        claim_all = partial(claim.claim, worker_id=seeding.LIVE_WORKER, worker="w:1", types=TYPES)
        assert len(claim_all(seeded.conn, ids, claim=claim_id).answer) == N
        ends = [finish.Finished(i, claim_id, Succeeded({"value": 1}), 0.1) for i in ids]
        plans = seeded.measure(lambda conn: finish.finish(conn, ends), pages=N * 90)
        plans += seeded.measure(lambda conn: cancel.cancel(conn, ids), pages=N * 90)
        seeded.conn.execute(sa.text("UPDATE workflow SET marks = 1 WHERE id = :id"), {"id": flow})
        plans += seeded.measure(sweeps.marked, pages=100)
        plans += seeded.measure(partial(sweeps.sweep, workflow_id=flow), pages=(N + 1) * 90)
        plans += seeded.measure(lambda conn: flows.steps_page(conn, flow), pages=N * 30)
        for plan in plans:
            assert not plan.seq_scans & {"workflow_step"}, plan
        undone.rollback()


def test_the_leaders_walk_over_blocked_steps_reads_a_page(seeded: Seeded) -> None:
    with seeded.conn.begin_nested() as undone:
        block = sa.text(
            "WITH chosen AS (SELECT id FROM task WHERE state = 'queued' ORDER BY id LIMIT 20000), now_blocked AS ("
            " UPDATE task t SET state = 'blocked', workflow_id = :flow FROM chosen c WHERE t.id = c.id RETURNING t.id)"
            " INSERT INTO workflow_step (task_id, workflow_id, name, pending_needs, needs, leads_to)"
            " SELECT id, :flow, 's', 1, '{}', '{}' FROM now_blocked"
        )
        seeded.conn.execute(block, {"flow": new_id()})
        seeded.conn.execute(sa.text("ANALYZE workflow_step"))
        for after in (None, seeded.middle):
            plans = seeded.measure(lambda conn, after=after: held_steps.recheck(conn, after), pages=200 * 10)  # type: ignore[misc]
            assert plans[0].scans("task") == ["Index Only Scan ix_task_blocked"], str(plans[0])
            assert not plans[0].seq_scans & {"workflow_step"}, str(plans[0])
        undone.rollback()
