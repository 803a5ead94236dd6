"""Leftovers are removed from Redis and from small tables, and nothing that is still needed."""

import time
from datetime import timedelta
from typing import Any

import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy import Engine

from taskyard.broker.connect import make_redis
from taskyard.settings import DEFAULT_QUEUES
from taskyard.store import task_types
from taskyard.store.analytics import KEPT_DAYS, SUMS_KEPT_DAYS, UNSUMMED_KEPT_DAYS
from taskyard.store.audit import Actor
from taskyard.store.record_imports import IMPORTS_KEPT_DAYS
from taskyard.store.record_syncs import SYNCS_KEPT_DAYS
from taskyard.store.users import ACTIVITY_KEPT_DAYS
from taskyard_scheduler.maintenance import BrokerInfo, Maintenance
from taskyard_scheduler.retention import Retention
from tests.support.scheduling import LeaderParts, execute, make_worker, put_in, scalar
from tests.support.specs import spec_named


@pytest.fixture
def maintenance(leader: LeaderParts) -> Maintenance:
    return Maintenance(leader.leadership, leader.client, leader.names, DEFAULT_QUEUES, clock=leader.clock)


def fetch(leader: LeaderParts, count: int, queue: str = "default") -> Any:
    """Like a worker's consumer."""
    make: Any = RedisBroker
    broker = make(client=leader.client, middleware=[], namespace="taskyard", maintenance_chance=0)
    assert len(broker.do_fetch(queue, count)) == count
    return broker


@pytest.mark.parametrize("queue", ["default", "reports"], ids=["a configured queue", "a worker's own queue"])
def test_messages_of_a_dead_consumer_come_back(
    leader: LeaderParts, maintenance: Maintenance, engine: Engine, queue: str
) -> None:
    make_worker(engine, queues=(queue,))
    publications = put_in(engine, 3, queue=queue).publications
    leader.publisher.publish(publications)
    broker = fetch(leader, 2, queue)
    maintenance.turn()
    assert len(leader.messages(queue)) == 1  # the consumer may still be alive
    heartbeats = "taskyard:__heartbeats__"
    leader.client.zadd(heartbeats, {broker.broker_id: (time.time() - 21) * 1000})  # a worker's lease is 20 s
    maintenance.turn()
    assert set(leader.messages(queue)) == {p.message_id for p in publications}
    maintenance.turn()
    assert leader.client.zscore(heartbeats, broker.broker_id) is None


def test_payloads_without_a_list_are_removed_at_the_second_search(
    leader: LeaderParts, maintenance: Maintenance, engine: Engine
) -> None:
    """Such a message, cut off between payload and id, would never be fetched and always count as known."""
    publications = put_in(engine, 4).publications
    leader.publisher.publish(publications)
    fetch(leader, 1)
    stranded = publications[3].message_id
    leader.client.lrem(leader.names.queue("default"), 1, stranded)
    maintenance.turn()
    assert stranded in leader.payloads()  # its id may still arrive
    maintenance.turn()
    assert leader.payloads() == {p.message_id for p in publications[:3]}


def test_a_payload_whose_id_arrives_late_is_kept(leader: LeaderParts, maintenance: Maintenance, engine: Engine) -> None:
    publication = put_in(engine, 1).publications[0]
    leader.publisher.publish([publication])
    leader.client.lpop(leader.names.queue("default"))
    maintenance.turn()
    leader.client.rpush(leader.names.queue("default"), publication.message_id)
    maintenance.turn()
    maintenance.turn()
    assert leader.payloads() == {publication.message_id}


def test_a_stranded_payload_is_found_behind_duplicates(
    leader: LeaderParts, maintenance: Maintenance, engine: Engine
) -> None:
    """An id that is in the list twice hides the missing one from the comparison of counts, but not from the search."""
    publications = put_in(engine, 2).publications
    leader.publisher.publish(publications)
    maintenance.turn()
    queue = leader.names.queue("default")
    leader.client.lrem(queue, 1, publications[0].message_id)
    leader.client.rpush(queue, publications[1].message_id)
    maintenance.search_soon()
    maintenance.turn()
    maintenance.turn()
    assert leader.payloads() == {publications[1].message_id}


def test_wake_up_lists_of_dead_children_are_removed_and_those_in_use_stay(
    leader: LeaderParts, maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = leader.names.wake_child("11111111-1111-1111-1111-111111111111")
    leader.client.lpush(key, "1")
    leader.client.lpush(leader.names.wake("default"), "1")
    maintenance.turn()
    assert leader.client.exists(key)
    monkeypatch.setattr("taskyard_scheduler.maintenance._WAKE_IDLE_SECONDS", 1)
    time.sleep(1.3)
    maintenance.turn()
    assert not leader.client.exists(key)
    assert leader.client.exists(leader.names.wake("default"))


def test_a_restart_of_redis_and_its_evictions_are_noticed(leader: LeaderParts) -> None:
    answers: list[dict[str, Any]] = []
    restarts: list[int] = []

    class Client:
        def info(self, *_: str) -> dict[str, Any]:
            return answers.pop(0)

    def answer(run_id: str, evicted: int) -> dict[str, Any]:
        return {"run_id": run_id, "evicted_keys": evicted, "used_memory": 7, "maxmemory": 9}

    client: Any = Client()
    watch = BrokerInfo(client, leader.broker_metrics, on_restart=lambda: restarts.append(1))
    answers += [answer("a", 2), answer("a", 5), answer("b", 1)]
    for _ in range(3):
        watch.turn()
    assert restarts == [1]
    assert leader.value("broker_evicted_keys_total") == 6
    assert leader.value("broker_memory_bytes") == 7
    assert leader.value("broker_up") == 1


def test_the_real_redis_reports_what_the_watch_reads(leader: LeaderParts) -> None:
    BrokerInfo(leader.client, leader.broker_metrics).turn()
    memory = leader.value("broker_memory_bytes")
    assert memory is not None
    assert memory > 100_000
    assert leader.value("broker_max_memory_bytes") == 512 * 1024**2


def test_an_unreachable_redis_is_exported(leader: LeaderParts) -> None:
    watch = BrokerInfo(make_redis("redis://127.0.0.1:1/0"), leader.broker_metrics)
    with pytest.raises(redis.RedisError):
        watch.turn()
    assert leader.value("broker_up") == 0


def test_idempotency_keys_are_kept_for_a_day(leader: LeaderParts, engine: Engine) -> None:
    execute(
        engine,
        "INSERT INTO idempotency_key (api_key_id, key, fingerprint, created_at)"
        " SELECT gen_random_uuid(), n::text, '', now() - n * interval '1 second'"
        " FROM generate_series(24 * 3600 - 300, 24 * 3600 + 126000, 120) n",
    )
    Retention(leader.leadership, lease=timedelta(seconds=20)).turn()
    kept = "SELECT count(*), bool_and(created_at > now() - interval '24 hours') FROM idempotency_key"
    with engine.connect() as conn:
        assert tuple(conn.exec_driver_sql(kept).one()) == (3, True)


def test_workers_are_deleted_a_week_after_their_end(leader: LeaderParts, engine: Engine) -> None:
    make_worker(engine)
    make_worker(engine)
    gone = make_worker(engine)
    execute(engine, "UPDATE worker SET lost_at = now() - interval '8 days' WHERE id = :id", id=gone)
    Retention(leader.leadership, lease=timedelta(seconds=20)).turn()
    assert scalar(engine, "SELECT count(*) FROM worker") == 2


def test_what_analytics_users_and_imports_need_no_more_is_deleted(leader: LeaderParts, engine: Engine) -> None:
    """Rows of every day of the last three years, over several batches for what is told event by event."""
    for table, column, more, values in (
        (
            "request_count",
            "minute",
            "source, method, route, status, requests, seconds",
            "gen_random_uuid(),'','',1,1,1",
        ),
        ("usage_event", "at", "id, model, tokens, submitted_by", "gen_random_uuid(), '', 1, ''"),
        ("request_hour", "hour", "method, route, status, requests, seconds", "'', '', 1, 1, 1"),
        ("usage_hour", "hour", "submitted_by, model, events, tokens", "'', '', 1, 1"),
        ("analytics_hour", "hour", "aggregated_at", "now()"),
        ("user_activity", "at", "task_id, user_id, login_count", "gen_random_uuid(), 1, 1"),
        ("record_import", "moved_at", "task_id", "gen_random_uuid()"),
        ("record_sync", "moved_at", "task_id, owner, collection, source", "gen_random_uuid(), '', 'a', n"),
    ):
        execute(
            engine,
            f"INSERT INTO {table} ({column}, {more})"
            f" SELECT date_trunc('hour', now() - interval '1 minute', 'UTC') - n * interval '1 day', {values}"
            " FROM generate_series(0, 1099) n",
        )
    Retention(leader.leadership, lease=timedelta(seconds=20)).turn()
    kept = {"request_count": KEPT_DAYS, "usage_event": KEPT_DAYS, "user_activity": ACTIVITY_KEPT_DAYS}
    kept |= {"record_import": IMPORTS_KEPT_DAYS, "record_sync": SYNCS_KEPT_DAYS}
    kept |= dict.fromkeys(("request_hour", "usage_hour", "analytics_hour"), SUMS_KEPT_DAYS)
    for table, days in kept.items():
        # That of the last day is there as long as its hour is not over.
        assert scalar(engine, f"SELECT count(*) FROM {table}") in {days, days + 1}, table


def test_rows_of_hours_without_sums_are_kept_until_people_have_seen_to_them(
    leader: LeaderParts, engine: Engine
) -> None:
    """The aggregation has failed for the odd days."""
    for table, column, more, values in (
        ("request_count", "minute", "source,method,route,status,requests,seconds", "gen_random_uuid(),'','',1,1,1"),
        ("usage_event", "at", "id, model, tokens, submitted_by", "gen_random_uuid(),'',1,''"),
    ):
        execute(
            engine,
            f"INSERT INTO {table} ({column}, {more})"
            f" SELECT now() - interval '30 minutes' - n * interval '1 day', {values} FROM generate_series(0, 99) n",
        )
    execute(
        engine,
        "INSERT INTO analytics_hour SELECT date_trunc('hour', now() - interval '30 minutes', 'UTC')"
        " - n * interval '1 day' FROM generate_series(0, 99, 2) n",
    )
    Retention(leader.leadership, lease=timedelta(seconds=20)).turn()
    kept = len({*range(KEPT_DAYS + 1), *range(1, UNSUMMED_KEPT_DAYS, 2)})
    for table in ("request_count", "usage_event"):
        assert scalar(engine, f"SELECT count(*) FROM {table}") == kept, table


def test_types_that_no_worker_has_had_for_30_days_are_retired_by_the_leader_only(
    leader: LeaderParts, engine: Engine
) -> None:
    with engine.begin() as conn:
        task_types.write(conn, [spec_named("a.gone"), spec_named("b.lately")], Actor("worker:w"))
    execute(engine, "UPDATE task_type SET seen_at = now() - interval '31 days' WHERE name = 'a.gone'")
    retention = Retention(leader.leadership, lease=timedelta(seconds=20))
    retired = "SELECT string_agg(name, ',') FROM task_type WHERE retired_at IS NOT NULL"
    leader.leadership.resign()
    retention.turn()
    assert scalar(engine, retired) is None
    leader.leadership.campaign()
    retention.turn()
    assert scalar(engine, retired) == "a.gone"


def test_what_a_rate_remembers_goes_when_it_no_longer_counts(leader: LeaderParts, engine: Engine) -> None:
    """One row a key: keys of customers come and go while one scheduler leads for months."""
    for name, age in (("task:now", "50 minutes"), ("task:old", "2 days")):
        row = f"INSERT INTO limit_pace (name, last_at) VALUES ('{name}', now() - interval '{age}')"
        execute(engine, row)
    Retention(leader.leadership, lease=timedelta(seconds=20)).turn()
    assert scalar(engine, "SELECT array_agg(name) FROM limit_pace") == ["task:now"]
