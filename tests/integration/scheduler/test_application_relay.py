"""What applications commit is published at once, however long their transactions were open."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from sqlalchemy import Engine

from taskyard.broker.names import Names
from taskyard.domain.errors import BrokerUnavailable
from taskyard.domain.tasks import Publication
from taskyard.lifecycle import application_outbox, limits, publish
from taskyard.store import ledger
from taskyard_scheduler.application_relay import ApplicationRelay
from taskyard_scheduler.relay import Relay
from tests.support.applications import application, submit
from tests.support.cases import one_in
from tests.support.fleet import wait_for
from tests.support.scheduling import LeaderParts, Scheduler, execute, put_in, scalar
from tests.support.specs import register_kits

ECHO = "diagnostics.echo"


@pytest.fixture
def app(engine: Engine, database_url: str) -> Iterator[str]:
    register_kits(engine)
    with application(engine, database_url) as url:
        yield url


def make_relay(leader: LeaderParts) -> ApplicationRelay:
    return ApplicationRelay(leader.leadership, leader.publisher, leader.database, leader.metrics)


def commit(app: str, count: int = 1, options: str = "{}") -> list[str]:
    """Each in a transaction of its own."""
    with psycopg.connect(app) as conn:
        made = []
        for _ in range(count):
            made.append(f"{submit(conn, ECHO, options=options)}:1")
            conn.commit()
    return made


def test_a_transaction_open_for_long_delays_nobody_and_loses_nothing(
    leader: LeaderParts, engine: Engine, app: str
) -> None:
    """Its row's transaction id, and its task's id, lie far below everything that was relayed meanwhile."""
    relay, platforms = make_relay(leader), Relay(leader.leadership, leader.publisher, leader.database, leader.metrics)
    with psycopg.connect(app) as slow:
        late = submit(slow, ECHO)
        for _ in range(3):
            others = commit(app, 20)
            assert relay.turn() == 20
            assert leader.messages()[-20:] == others
        put_in(engine, 300)
        leader.age(10)
        platforms.turn()
        platforms.turn()
        assert platforms.low_water == scalar(engine, "SELECT last_value FROM outbox_id_seq")
        assert scalar(engine, "SELECT count(*) FROM outbox") == 0
        with ledger.connection(engine) as conn:
            seen = application_outbox.fresh(conn, application_outbox.Seen(), limit=1).seen
        mine = int(slow.execute("SELECT pg_current_xact_id()::text").fetchone()[0])  # type: ignore[index]
        assert mine < seen.next_xid - 60
        slow.commit()
    assert relay.turn() == 1
    assert leader.messages()[-1] == f"{late}:1"
    assert scalar(engine, "SELECT count(*) FROM application_outbox") == 0


def test_a_look_reads_what_is_new_and_not_what_was_deleted_behind_an_open_transaction(
    leader: LeaderParts, engine: Engine, app: str
) -> None:
    """While a transaction is open, VACUUM cannot remove what is deleted after it has begun."""

    def blocks(seen: application_outbox.Seen) -> int:
        statement = str(application_outbox._FRESH).replace(":limit", "1000").replace(":next_xid", str(seen.next_xid))
        statement = statement.replace(":open", "'{" + ",".join(map(str, seen.open)) + "}'")
        with engine.connect() as conn:
            plan = conn.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}").scalar_one()
        top = plan[0]["Plan"]
        return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])

    relay = make_relay(leader)
    with psycopg.connect(app) as slow:
        submit(slow, ECHO)
        with psycopg.connect(app) as conn:
            for _ in range(3000):
                submit(conn, ECHO)
            conn.commit()
        relay.turn()
        assert scalar(engine, "SELECT count(*) FROM application_outbox") == 0
        assert blocks(relay._seen) * 3 < blocks(application_outbox.Seen())
        slow.rollback()


@pytest.mark.parametrize("limit", ["concurrent = 1", "per_second = 1"])
def test_what_its_queue_limits_is_not_published_and_waits_for_the_leader(
    leader: LeaderParts, engine: Engine, app: str, limit: str
) -> None:
    relay = make_relay(leader)
    execute(engine, f"UPDATE queue SET {limit} WHERE name = 'default'")
    commit(app, 2)
    assert relay.turn() == 0
    assert leader.messages() == []
    assert scalar(engine, "SELECT count(*) FROM task WHERE limited = 'waiting' AND state = 'queued'") == 2
    assert scalar(engine, "SELECT count(*) FROM application_outbox") == 0
    granted = ledger.run_transaction(engine, limits.Granting().turn)
    assert len(granted.publications) == 1, "one of them goes at once"
    execute(engine, "UPDATE queue SET concurrent = NULL, per_second = NULL")
    (free,) = commit(app)
    assert relay.turn() == 1
    assert leader.messages() == [free]


def test_what_a_savepoint_kept_is_relayed_and_what_it_undid_is_not(leader: LeaderParts, app: str) -> None:
    relay = make_relay(leader)
    with psycopg.connect(app) as conn, conn.transaction():
        relay.turn()
        with conn.transaction():
            kept = submit(conn, ECHO)
            relay.turn()
        with conn.transaction(force_rollback=True):
            submit(conn, ECHO)
        relay.turn()
    assert relay.turn() == 1
    assert leader.messages() == [f"{kept}:1"]


def test_what_is_due_later_wakes_the_promotion(leader: LeaderParts, engine: Engine, app: str) -> None:
    commit(app, options='{"delay_seconds": 60}')
    assert make_relay(leader).turn() == 0
    assert leader.client.llen(leader.names.wake_scheduler) == 1
    assert scalar(engine, "SELECT count(*) FROM application_outbox") == 0
    assert scalar(engine, "SELECT state FROM task") == "scheduled"


def test_live_events_tell_of_it(leader: LeaderParts, app: str) -> None:
    with leader.client.pubsub(  # type: ignore[no-untyped-call]
        ignore_subscribe_messages=True
    ) as events:
        events.subscribe(leader.names.events)
        events.get_message(timeout=5)
        (message_id,) = commit(app)
        make_relay(leader).turn()
        # Other test processes publish on this channel, too.
        told: dict[str, str] = {}
        deadline = time.monotonic() + 5
        while message_id not in told and time.monotonic() < deadline:
            if heard := events.get_message(timeout=1):
                told |= {f"{change['task_id']}:1": change["state"] for change in json.loads(heard["data"])}
    assert told.get(message_id) == "queued"


def test_rows_stay_while_redis_is_unreachable(
    leader: LeaderParts, engine: Engine, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = make_relay(leader)
    relay.turn()
    made = commit(app, 2)

    def refuse(*_: object, **__: object) -> int:
        raise BrokerUnavailable("away")

    with monkeypatch.context() as away:
        away.setattr(leader.publisher, "publish", refuse)
        with pytest.raises(BrokerUnavailable):
            relay.turn()
    assert relay.backlog is True
    with ledger.connection(engine) as conn:
        assert relay.standing(conn).pending == 2
    assert relay.turn() == 2
    assert (leader.messages(), relay.backlog) == (made, False)


def test_another_leader_begins_at_the_beginning(leader: LeaderParts, engine: Engine, app: str) -> None:
    relay = make_relay(leader)
    relay.turn()
    commit(app)
    execute(engine, "UPDATE application_outbox SET xid = 3")  # as after a restore into another cluster
    assert relay.turn() == 0
    leader.database.changes += 1
    assert relay.turn() == 1


def test_reconcile_leaves_to_the_relay_what_has_a_row(leader: LeaderParts, engine: Engine, app: str) -> None:
    (message_id,) = commit(app)
    execute(engine, "UPDATE task SET queued_at = queued_at - interval '1 hour'")
    task_id = scalar(engine, "SELECT id FROM task")
    suspects = [Publication(task_id, "default", 1)]
    with ledger.connection(engine) as conn:
        assert publish.unpublished(conn, suspects, age_seconds=30) == []
    make_relay(leader).turn()
    with ledger.connection(engine) as conn:
        assert publish.unpublished(conn, suspects, age_seconds=30) == suspects
    assert leader.messages() == [message_id]


def is_relayed(engine: Engine) -> bool:
    """Rows are deleted a moment after their tasks were published."""
    until = time.monotonic() + 30
    while scalar(engine, "SELECT count(*) FROM application_outbox"):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def seconds_to_publish(app: str, client: redis.Redis, count: int) -> float:
    began = time.monotonic()
    for _ in range(count):
        (message_id,) = commit(app)
        while not client.hexists(Names().messages("default"), message_id):
            assert time.monotonic() - began < 60, "not published"
            time.sleep(0.002)
    return time.monotonic() - began


@pytest.mark.long
def test_a_commit_wakes_the_relay_and_where_none_is_heard_it_looks_every_second(
    schedulers: Callable[..., Scheduler], app: str, redis_url: str, engine: Engine, tmp_path: Path
) -> None:
    """The second scheduler is told of a server for LISTEN that is not there."""

    def measured(name: str, **more: str) -> float:
        scheduler = schedulers(name, **more)
        while not scheduler.said("leading"):
            time.sleep(0.05)
        seconds_to_publish(app, client, 1)
        took = seconds_to_publish(app, client, 12)
        assert bool(scheduler.said("commits_unheard")) == bool(more)
        assert is_relayed(engine)
        scheduler.end()
        return took

    with redis.Redis.from_url(redis_url) as client:
        heard = measured("heard")
        polled = measured("polled", TASKYARD_LISTEN_URL="postgresql://nobody@127.0.0.1:1/none")
    assert heard * 3 < polled


def test_a_lost_connection_of_the_listener_is_made_again(
    schedulers: Callable[..., Scheduler], app: str, redis_url: str, engine: Engine
) -> None:
    listeners = (
        "FROM pg_stat_activity WHERE application_name = 'taskyard-scheduler listen' AND datname = current_database()"
    )
    scheduler = schedulers("one")
    with redis.Redis.from_url(redis_url) as client:
        seconds_to_publish(app, client, 1)
        until = time.monotonic() + 30
        # A leader relays before it listens, and publishes anew what Redis does not have.
        while scalar(engine, f"SELECT count(pg_terminate_backend(pid)) {listeners}") == 0:
            assert time.monotonic() < until
            time.sleep(0.02)
        wait_for(lambda: scheduler.said("commits_unheard"), 30, "the loss to be noticed")
        seconds_to_publish(app, client, 1)  # polled
        until = time.monotonic() + 30
        while scalar(engine, f"SELECT count(*) {listeners}") == 0:
            assert time.monotonic() < until
            seconds_to_publish(app, client, 1)
    assert len(scheduler.said("commits_unheard")) == 1


@pytest.mark.parametrize("place", one_in(3, ["before", "published", "after"], begin=1))
def test_a_scheduler_that_dies_at_each_step_of_the_relay_loses_nothing(
    schedulers: Callable[..., Scheduler], app: str, redis_url: str, engine: Engine, tmp_path: Path, place: str
) -> None:
    drills: dict[str, Any] = {
        "TASKYARD_DIAGNOSTICS": "1",
        "TASKYARD_FAILPOINTS": f"relay_applications.{place}",
        "TASKYARD_TEMP_DIR": str(tmp_path),
    }
    first = schedulers("first", **drills)
    made = commit(app, 1)
    first.process.wait(30)
    schedulers("second", **drills)
    with redis.Redis.from_url(redis_url) as client:
        seconds_to_publish(app, client, 1)
        assert client.hexists(Names().messages("default"), made[0])
    assert is_relayed(engine)
