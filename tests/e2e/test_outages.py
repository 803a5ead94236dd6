"""Redis may lose everything and PostgreSQL may go away: nothing that was accepted is lost."""

import time
from uuid import UUID

import pytest
import redis

from taskyard.broker.names import Names
from taskyard.broker.publisher import make_publisher
from taskyard.domain.tasks import Publication
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from tests.support.effects import effects
from tests.support.fleet import Fleet, wait_for
from tests.support.specs import register_kits

pytestmark = pytest.mark.e2e


def test_flushall_with_a_thousand_tasks_waiting_loses_none(own_fleet: Fleet, own_valkey: Valkey) -> None:
    fleet, valkey = own_fleet, own_valkey
    register_kits(fleet.engine, "tests.support.effects")
    fleet.start_api()
    fleet.start_scheduler()
    ids = fleet.submit_many(1000, "tests.effect")
    with valkey.client() as client:
        wait_for(lambda: client.llen("taskyard:default") == 1000, 30, "all to be published")
        wait_for(lambda: bool(client.exists("taskyard:epoch")), 30, "the epoch to be set")
        client.flushall()
    assert fleet.states(ids) == {"queued": 1000}

    fleet.start_worker(processes=2)

    assert fleet.wait_final(ids, 60) == {"succeeded": 1000}
    assert sorted(effects(fleet.effects)) == sorted(ids)


@pytest.mark.long
def test_submits_are_accepted_while_redis_is_stopped_and_done_once_it_is_back(
    own_fleet: Fleet, own_valkey: Valkey
) -> None:
    fleet, valkey = own_fleet, own_valkey
    fleet.start_all()
    ids = [fleet.submit("tests.effect") for _ in range(50)]

    valkey.stop()
    began = time.monotonic()
    ids += [fleet.submit("tests.effect") for _ in range(200)]
    assert time.monotonic() - began < 50, "a submit does not wait for Redis: half a second each would be 100"
    valkey.start()

    assert fleet.wait_final(ids, 60) == {"succeeded": 250}
    assert sorted(effects(fleet.effects)) == sorted(ids)


def test_postgresql_away_means_503_and_nothing_is_lost(own_fleet: Fleet, own_postgres: Postgres) -> None:
    fleet, postgres = own_fleet, own_postgres
    fleet.start_all(threads=4)
    running = [fleet.submit("tests.effect", {"seconds": 4.0}) for _ in range(4)]
    wait_for(lambda: len(effects(fleet.effects)) == 4, 20, "all to begin")
    waiting = fleet.submit_many(50, "tests.effect")

    postgres.stop()
    refused = fleet.http.post("/tasks", json={"name": "tests.effect", "params": {}})
    read = fleet.http.get(f"/tasks/{waiting[0]}")
    for answer in (refused, read):
        assert answer.status_code == 503
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert int(answer.headers["retry-after"]) >= 1
    time.sleep(5)  # the running ones end meanwhile and wait to be recorded
    postgres.start()
    wait_for(lambda: fleet.http.get(f"/tasks/{waiting[0]}").status_code == 200, 20, "the API to answer again")

    assert fleet.wait_final(running + waiting, 60) == {"succeeded": 54}
    total = fleet.query("SELECT count(*) AS n FROM task")[0].n
    assert total == 54, "a refused submit has left nothing behind"
    assert sorted(set(effects(fleet.effects))) == sorted(running + waiting)


def test_a_message_delivered_three_times_runs_once(fleet: Fleet, redis_client: redis.Redis, redis_url: str) -> None:
    register_kits(fleet.engine, "tests.support.effects")
    fleet.start_api()
    fleet.start_scheduler()
    ids = [fleet.submit("tests.effect") for _ in range(5)]
    publisher = make_publisher(redis_url, Names())
    again = [Publication(UUID(i), "default", n) for i in ids for n in (1, 1, 2)]
    for publication in again:
        publisher.publish([publication])
    wait_for(lambda: int(redis_client.llen("taskyard:default")) >= 20, 30, "all deliveries")

    fleet.start_worker(processes=2)

    assert fleet.wait_final(ids, 20) == {"succeeded": 5}
    wait_for(lambda: redis_client.llen("taskyard:default") == 0, 30, "every message to be taken")
    wait_for(lambda: redis_client.hlen("taskyard:default.msgs") == 0, 30, "every message to be acknowledged")
    time.sleep(1)  # in which one that was claimed a second time would begin
    assert sorted(effects(fleet.effects)) == sorted(ids)


def test_messages_that_are_not_ours_do_not_stop_a_worker(fleet: Fleet, redis_client: redis.Redis) -> None:
    fleet.start_all()
    for n, junk in enumerate(("", "{", "[]", '{"args": []}', '{"args": ["x"], "options": {}}')):
        redis_client.hset("taskyard:default.msgs", f"junk{n}", junk)
        redis_client.rpush("taskyard:default", f"junk{n}")
    redis_client.rpush("taskyard:default", "no-payload")
    ids = [fleet.submit("tests.effect") for _ in range(10)]
    assert fleet.wait_final(ids, 20) == {"succeeded": 10}
