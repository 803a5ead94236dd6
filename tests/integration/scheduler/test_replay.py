"""Replays keep their rate when the scheduler dies, because the ledger holds it."""

import signal
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from sqlalchemy import Engine

from taskyard.broker.names import Names
from taskyard.broker.publisher import Publisher
from taskyard.lifecycle.replay import replay_dead_letters
from taskyard.lifecycle.workers import ensure_queues
from taskyard.store import ledger
from taskyard.store.audit import Actor
from taskyard.store.dead_letters import Wanted
from tests.support.fleet import wait_for
from tests.support.scheduling import Scheduler, execute, put_in, scalar

RATE = 10


@pytest.mark.long
def test_replays_keep_their_due_times_and_survive_the_schedulers_death(
    engine: Engine, redis_client: redis.Redis, schedulers: Callable[[str], Scheduler]
) -> None:
    with ledger.connection(engine) as conn:
        ensure_queues(conn, ["default"])
    put_in(engine, 60)
    execute(engine, "UPDATE task SET state = 'failed', finished_at = now()")
    first = schedulers("first")
    wait_for(lambda: first.said("leading"), seconds=30)
    done = ledger.run_transaction(
        engine,
        lambda conn: replay_dead_letters(conn, Wanted(), by=Actor("ops"), life=timedelta(days=1), per_second=RATE),
    )
    assert len(done.answer.changed) == 60
    # As the command does: a leader that has just looked would sleep until all of them are due.
    Publisher(redis_client, Names()).publish((), wake_scheduler=True)

    def queued() -> int:
        return int(scalar(engine, "SELECT count(*) FROM task WHERE state = 'queued'"))

    wait_for(lambda: queued() >= 10)
    first.send(signal.SIGKILL)
    # In the middle of it: many are not due yet.
    assert queued() < 60
    schedulers("second")
    wait_for(lambda: queued() == 60, seconds=30)
    early = "SELECT count(*) FROM task WHERE queued_at < run_at"
    assert scalar(engine, early) == 0
    assert scalar(engine, "SELECT max(run_at) - min(run_at) FROM task") == timedelta(seconds=59 / RATE)
