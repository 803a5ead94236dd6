"""Tasks become queued when they are due."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from taskyard.domain.new_tasks import Limits
from taskyard.domain.tasks import Failed, State, Succeeded
from taskyard.lifecycle import cancel, promote, sweeps
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.finish import Finished, finish
from taskyard.store import ledger
from taskyard.store.audit import Actor
from taskyard_scheduler import promotion as promotion_loop
from taskyard_scheduler.loop_watch import LoopWatch
from taskyard_scheduler.promotion import LOOP, Promotion, PromotionLoop
from tests.integration.lifecycle.flows import flow_of
from tests.integration.lifecycle.rows import FAULT, Worker, claim_of, put, register
from tests.integration.lifecycle.test_races import waiting_for_a_lock
from tests.support.fleet import wait_for
from tests.support.scheduling import LeaderParts, put_in, scalar


@pytest.fixture
def long_sleep(monkeypatch: pytest.MonkeyPatch) -> float:
    """Longer than a busy machine holds a test up: what comes earlier came without its end."""
    monkeypatch.setattr(promotion_loop, "LONGEST_SLEEP_SECONDS", 60.0)
    return 60.0


@pytest.fixture
def promotion(leader: LeaderParts) -> Promotion:
    return Promotion(leader.leadership, leader.dispatcher, leader.metrics)


@pytest.fixture
def loop(leader: LeaderParts, promotion: Promotion) -> Iterator[PromotionLoop]:
    made = PromotionLoop(
        promotion,
        leader.leadership,
        leader.client,
        leader.names.wake_scheduler,
        LoopWatch((LOOP,)),
        leader.dependencies,
    )
    yield made
    if made._thread.is_alive():
        made.stop()


def test_children_that_a_cancellation_left_follow_it_in_the_next_turns(
    engine: Engine, promotion: Promotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel, "MOST_HELD", 1)
    with ledger.connection(engine) as conn:
        parent = put(conn, State.QUEUED)
        children = [put(conn, State.QUEUED, parent_id=parent) for _ in range(2)]
        grandchild = put(conn, State.QUEUED, parent_id=children[0])
    done = ledger.run_transaction(engine, lambda conn: cancel.cancel_task(conn, parent, by=Actor("ci")))
    assert done.wakes_scheduler
    assert promotion.turn() == 0.0, "there may be more"
    while promotion.turn() == 0.0:
        pass
    assert [scalar(engine, "SELECT state FROM task WHERE id = :id", id=i) for i in (*children, grandchild)] == [
        "cancelled"
    ] * 3


def test_a_due_task_is_queued_published_and_announced_as_a_live_event(
    leader: LeaderParts, promotion: Promotion, engine: Engine, redis_client: redis.Redis
) -> None:
    task = put_in(engine, 1, delay=0.05).answer[0]
    client: Any = redis_client
    with client.pubsub(ignore_subscribe_messages=True) as events:
        events.subscribe(leader.names.events)
        events.get_message(timeout=1)
        time.sleep(0.1)
        promotion.turn()
        wait_for(leader.messages)

        def heard() -> str | None:
            # Other test processes publish their events on the same channel.
            said = events.get_message(timeout=0.1)
            return said["data"] if said and str(task.id) in said["data"] else None

        event = str(wait_for(heard, every=0))
    assert leader.messages() == [f"{task.id}:1"]
    assert '"queued"' in event
    wait_for(lambda: scalar(engine, "SELECT count(*) FROM outbox") == 0)


def test_it_sleeps_until_the_next_due_time(promotion: Promotion, engine: Engine, long_sleep: float) -> None:
    assert promotion.turn() == long_sleep
    put_in(engine, 1, delay=long_sleep - 10)
    assert 0 < promotion.turn() <= long_sleep - 10
    put_in(engine, 1, delay=3600)
    assert promotion.turn() < long_sleep - 10


def test_it_is_woken_when_something_is_due_earlier(
    leader: LeaderParts, loop: PromotionLoop, engine: Engine, long_sleep: float
) -> None:
    """Without due tasks it sleeps for long, which is too long for a task that is due in a moment."""
    loop.start()
    time.sleep(0.3)
    started = time.monotonic()
    put_in(engine, 1, delay=0.3)
    leader.publisher.publish((), wake_scheduler=True)
    wait_for(leader.messages, long_sleep - 10)
    assert time.monotonic() - started > 0.25


def test_many_due_tasks_are_promoted_without_a_pause(
    leader: LeaderParts, loop: PromotionLoop, engine: Engine, long_sleep: float
) -> None:
    put_in(engine, 2500, delay=0.01)
    time.sleep(0.05)
    loop.start()
    wait_for(lambda: len(leader.messages()) == 2500, long_sleep - 10)


def test_a_wake_up_soon_after_a_whole_turn_grants_at_once_and_the_rest_follows_by_itself(
    leader: LeaderParts,
    loop: PromotionLoop,
    promotion: Promotion,
    engine: Engine,
    long_sleep: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(promotion_loop, "_WHOLE_TURN_SECONDS", 4.5)
    order: list[str] = []

    def noted(name: str) -> None:
        turn = getattr(promotion, name)

        def take() -> float:
            seconds = float(turn())
            order.append(name)
            return seconds

        monkeypatch.setattr(promotion, name, take)

    noted("turn")
    noted("turn_between")
    loop.start()
    wait_for(lambda: order)
    late = put_in(engine, 1, expires_at=datetime.now(UTC) - timedelta(seconds=1)).answer[0].id
    limited = put_in(engine, 1, limits=Limits("crm", concurrent=1)).answer[0].id
    leader.client.rpush(leader.names.wake_scheduler, "")
    wait_for(lambda: scalar(engine, f"SELECT limited FROM task WHERE id = '{limited}'") == "granted")
    assert scalar(engine, f"SELECT state FROM task WHERE id = '{late}'") == "queued"
    wait_for(lambda: scalar(engine, f"SELECT state FROM task WHERE id = '{late}'") == "failed", long_sleep / 2)
    assert order.count("turn_between") < 4, "it does not go round while nothing wakes it"
    assert order[:2] == ["turn", "turn_between"]


def test_a_waiting_task_past_its_life_fails(leader: LeaderParts, promotion: Promotion, engine: Engine) -> None:
    put_in(engine, 1, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    promotion.turn()
    assert scalar(engine, "SELECT error ->> 'code' FROM task WHERE state = 'failed'") == "expired"
    assert leader.value("tasks_dead_lettered_total", reason="expired") == 1


def test_an_end_that_meets_the_leader_at_a_workflow_is_not_undone(
    promotion: Promotion, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader has expired a step, and its workflow is to be swept; meanwhile another step ends."""
    with ledger.connection(engine) as conn, ThreadPoolExecutor(1) as pool:
        flow = flow_of(Worker(conn, register(conn)), {"late": [], "runs": []})
        flow.claim("runs")
        past = sa.text("UPDATE task SET expires_at = now() - interval '1 s' WHERE id = :id")
        conn.execute(past, {"id": flow.ids["late"]})
        end = Finished(flow.ids["runs"], claim_of(conn, flow.ids["runs"]), Succeeded({}), 0.1)
        ends: list[Future[Any]] = []

        def expire(own: Connection, **values: Any) -> Any:
            done = promote.expire(own, **values)
            ends.append(pool.submit(ledger.run, engine, lambda other: finish(other, [end]), attempts=1))
            wait_for(lambda: waiting_for_a_lock(conn))
            return done

        monkeypatch.setattr(promotion_loop, "promote", SimpleNamespace(**{**vars(promote), "expire": expire}))
        promotion.turn()
        assert [c.state for later in ends for c in later.result(timeout=10).answer] == ["succeeded"]
        assert flow.row.state == "failed"


def test_a_workflow_that_cannot_be_swept_holds_up_no_other(
    promotion: Promotion, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ledger.connection(engine) as conn:
        worker = Worker(conn, register(conn))
        flows = [flow_of(worker, {"f": [], "rest": []}) for _ in range(2)]
        for flow in flows:
            flow.end("f", outcome=Failed(FAULT))
        sweep = sweeps.sweep

        def fails_at_first(own: Connection, workflow_id: UUID) -> Committed[int]:
            own.execute(sa.text("SELECT 1 / :n"), {"n": int(workflow_id != flows[0].id)})
            return sweep(own, workflow_id)

        monkeypatch.setattr(sweeps, "sweep", fails_at_first)
        with pytest.raises(DBAPIError):
            promotion.turn()
        assert [flow.state("rest") for flow in flows] == [State.QUEUED, State.CANCELLED]
        monkeypatch.undo()
        promotion.turn()
        assert flows[0].state("rest") is State.CANCELLED


def test_a_standby_promotes_nothing(leader: LeaderParts, loop: PromotionLoop, engine: Engine) -> None:
    leader.leadership.resign()
    put_in(engine, 1, delay=0.01)
    loop.start()
    time.sleep(0.5)
    assert scalar(engine, "SELECT state FROM task") == "scheduled"
