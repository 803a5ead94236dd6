"""What health tells, and to whom."""

import json
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from taskyard.broker.names import Names
from taskyard_api import health_answers
from taskyard_api.health import is_full
from taskyard_api.worker_answers import WorkerDetails
from taskyard_dev.servers import Valkey
from tests.integration.api.conftest import NAMESPACE, Api
from tests.integration.api.worker import Worker
from tests.support.fleet import wait_for


def test_health(api: Api) -> None:
    anonymous = api.client(None)
    assert anonymous.get("/health/live").json() == {"status": "alive"}
    assert anonymous.get("/health/ready").json() == {"status": "ready", "database": "up", "redis": "up"}
    assert anonymous.get("/health/detailed").status_code == 401
    Worker(api.engine)
    detailed = api.http.get("/health/detailed")
    health_answers.Health.model_validate_json(detailed.content)
    parts = detailed.json()["components"]
    assert detailed.json()["status"] == "degraded"
    assert (parts["database"]["status"], parts["redis"]["status"]) == ("healthy", "healthy")
    assert parts["workers"]["workers_count"] == 2, "this one, and that with all kits"
    assert parts["scheduler"]["reason"] == "no scheduler leads"
    german = api.http.get("/health/detailed", headers={"Accept-Language": "de"})
    assert german.headers["Content-Language"] == "de"
    assert german.json()["components"]["scheduler"]["reason"] == "kein Scheduler führt"


def test_what_waits_to_be_published_for_long_degrades(api: Api) -> None:
    def outbox(key: str | None = None, language: str = "en") -> Any:
        client = api.http if key is None else api.client(key)
        found = client.get("/health/detailed", headers={"Accept-Language": language}).json()
        return found["components"]["outbox"]

    with api.engine.connect() as conn:
        conn.execute(sa.text("DELETE FROM outbox"))
        conn.execute(sa.text("INSERT INTO outbox (task_ids) VALUES (ARRAY[gen_random_uuid()])"))
        conn.commit()
    assert (outbox()["status"], outbox()["pending"]) == ("healthy", 1), "the scheduler takes it up after ten seconds"
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE outbox SET created_at = now() - interval '1 minute'"))
        conn.commit()
    assert (outbox()["status"], outbox()["reason"]) == ("unhealthy", "waits for Redis or for a scheduler")
    assert outbox(language="de")["reason"] == "wartet auf Redis oder auf einen Scheduler"
    hidden = outbox(api.key("read", queues=["selection"]))
    assert (hidden["status"], hidden["pending"], hidden["oldest_at"]) == ("unhealthy", None, None)


def test_tasks_that_redis_lost_are_told_while_a_scheduler_leads(api: Api, redis_url: str) -> None:
    def told(key: str | None = None) -> Any:
        client = api.http if key is None else api.client(key)
        return client.get("/health/detailed").json()["components"]["scheduler"]["tasks_unaccounted"]

    assert told() is None, "nobody looks"
    with api.engine.begin() as conn:
        conn.execute(
            sa.text(
                "INSERT INTO leader (name, holder, holder_name, epoch, expires_at, ticked_at)"
                " VALUES ('scheduler', gen_random_uuid(), 's-1', 1, now() + interval '1 minute', now())"
            )
        )
    assert told() == 0
    with redis.Redis.from_url(redis_url) as client:
        client.set(Names(NAMESPACE).lost, 3)
        assert told() == 3
        assert told(api.key("read", queues=["default"])) is None, "of all queues"
        client.delete(Names(NAMESPACE).lost)
    with api.engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM leader"))


def test_a_full_redis_is_told(start_api: Callable[..., Api], own_valkey: Valkey) -> None:
    api = start_api(redis_url=own_valkey.url)
    with redis.Redis.from_url(own_valkey.url) as client:
        client.config_set("maxmemory", 1)
        part = api.http.get("/health/detailed", headers={"Accept-Language": "de"}).json()["components"]["redis"]
    assert (part["status"], part["reason"]) == ("unhealthy", "ihr Speicher ist voll")


@pytest.mark.parametrize(
    ("memory", "full"),
    [
        ({"maxmemory_policy": "noeviction", "maxmemory": 100, "used_memory": 100}, True),
        ({"maxmemory_policy": "noeviction", "maxmemory": 100, "used_memory": 99}, False),
        ({"maxmemory_policy": "noeviction", "maxmemory": 0, "used_memory": 100}, False),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 100, "used_memory": 100}, False),
        (
            {"maxmemory_policy": "noeviction", "maxmemory": 100, "used_memory": 110, "mem_not_counted_for_evict": 20},
            False,
        ),
    ],
)
def test_full_is_what_cannot_evict_beside_what_is_not_counted(memory: dict[str, Any], full: bool) -> None:
    assert is_full(memory) is full


def test_a_hanging_redis_does_not_delay_a_probe(start_api: Callable[..., Api]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = start_api(redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        value = partial(api.service.metrics.registry.get_sample_value, "taskyard_dependency_up")
        wait_for(lambda: value({"dependency": "database"}) == 1, 10, "the database to be there")
        time.sleep(2.5)
        took = []
        for _ in range(3):
            started = time.monotonic()
            assert api.http.get("/health/ready").json()["redis"] == "down"
            took.append(time.monotonic() - started)
        # The best of several: other programs on this machine may delay one of them.
        assert min(took) < 1


def test_what_the_last_check_found_is_told_in_the_readers_language(api: Api) -> None:
    api.submit("health.check", params={})
    silent = {"status": "failed", "latency_ms": 1.0, "reason": "Redis does not answer.", "code": "redis_silent"}
    stored = {**silent, "reason": "The files ...", "code": "storage_unavailable"}
    checks = {
        "redis": {**silent, "values": {}},
        "storage": {**stored, "values": {"reason": {"phrase": "storage_full"}}},
        "old": {"status": "failed", "latency_ms": 1.0, "reason": "as it was told"},
    }
    result = json.dumps({"status": "degraded", "timestamp": "2026-11-20T00:00:00Z", "checks": checks})
    with api.engine.connect() as conn:
        end = "UPDATE task SET state = 'succeeded', finished_at = now(), result = CAST(:r AS jsonb)"
        conn.execute(sa.text(end), {"r": result})
    found = api.http.get("/health/detailed", headers={"Accept-Language": "de"}).json()["components"]["last_check"]
    assert {name: check["reason"] for name, check in found["checks"].items()} == {
        "redis": "Redis antwortet nicht.",
        "storage": "Die Dateien sind nicht erreichbar: der Dateispeicher ist voll.",
        "old": "as it was told",
    }
    assert found["reason"] == "damals gescheitert: old, redis, storage"
    assert "values" not in found["checks"]["redis"]


@pytest.mark.parametrize(
    ("state", "minutes", "told"),
    [
        ("succeeded", 119, None),
        ("succeeded", 121, "älter als 2 Stunden"),
        ("failed", 1, "die Prüfung selbst ist gescheitert"),
        ("failed", 121, "älter als 2 Stunden; die Prüfung selbst ist gescheitert"),
    ],
)
def test_a_check_that_is_old_or_failed_itself_shows_no_health(
    api: Api, state: str, minutes: int, told: str | None
) -> None:
    older, newest = (api.submit("health.check", params={})["id"] for _ in range(2))
    result = json.dumps({"status": "ok", "checks": {"redis": {"status": "ok", "latency_ms": 1.0, "reason": None}}})
    end = """UPDATE task SET state = :state, finished_at = now() - make_interval(mins => :minutes),
        result = CAST(:result AS jsonb) WHERE id = :id"""
    with api.engine.connect() as conn:
        for task_id, ended in ((older, "succeeded"), (newest, state)):
            stored = result if ended == "succeeded" else None
            conn.execute(sa.text(end), {"state": ended, "minutes": minutes, "result": stored, "id": task_id})
    found = api.http.get("/health/detailed", headers={"Accept-Language": "de"}).json()["components"]["last_check"]
    assert found["task_id"] == newest
    assert (found["status"], found["reason"]) == ("healthy" if told is None else "degraded", told)


def test_a_cache_of_its_own_is_a_component(start_api: Callable[..., Api], redis_url: str) -> None:
    def health(cache_url: str | None) -> Any:
        return start_api(cache_url=cache_url).http.get("/health/detailed").json()

    assert "cache" not in health(None)["components"]
    assert health(redis_url)["components"]["cache"]["status"] == "healthy"
    away = health("redis://127.0.0.1:1/0")
    assert away["status"] == "degraded"
    assert away["components"]["redis"]["status"] == "healthy"
    assert (away["components"]["cache"]["status"], away["components"]["cache"]["reason"]) == (
        "unhealthy", "does not answer"
    )  # fmt: skip


def test_the_last_check_is_shown_to_keys_that_may_see_its_queue(api: Api) -> None:
    assert "last_check" not in api.http.get("/health/detailed").json()["components"]
    task = api.submit("health.check", params={})["id"]
    checks = {
        "redis": {"status": "ok", "latency_ms": 1.0, "reason": None},
        "smtp": {"status": "failed", "latency_ms": 2.0, "reason": "refused"},
    }
    result = json.dumps({"status": "degraded", "timestamp": "2026-11-20T00:00:00Z", "checks": checks})
    with api.engine.connect() as conn:
        conn.execute(
            sa.text(
                "UPDATE task SET state = 'succeeded', finished_at = now() - interval '90 s', result = CAST(:r AS jsonb)"
            ),
            {"r": result},
        )
    detailed = api.http.get("/health/detailed")
    health_answers.Health.model_validate_json(detailed.content)
    shown = detailed.json()["components"]["last_check"]
    assert (shown["task_id"], shown["checks"], shown["status"]) == (task, checks, "degraded")
    assert "smtp" in shown["reason"]
    assert 90 <= shown["age_seconds"] < 120
    hidden = api.client(api.key("read", queues=["selection"])).get("/health/detailed").json()
    assert "last_check" not in hidden["components"]


def test_health_shows_a_key_with_queues_only_their_tasks(api: Api) -> None:
    worker = Worker(api.engine)
    task = api.submit()["id"]
    worker.begin(task)
    with api.engine.connect() as conn:
        conn.execute(
            sa.text(
                "UPDATE worker SET begun = ARRAY[CAST(:id AS uuid)], queues = '{default,selection}' WHERE id = :worker"
            ),
            {"id": task, "worker": worker.id},
        )
    for queues, running in ((None, 1), (["default"], 1), (["selection"], 0)):
        client = api.client(api.key("read", queues=queues))
        parts = client.get("/health/detailed").json()["components"]["workers"]
        by_worker = sorted(w["running_tasks"] for w in parts["workers"])
        assert (parts["active_tasks"], by_worker) == (running, [0, running]), "this one, and that with all kits"
        shown = WorkerDetails.model_validate(client.get(f"/api/v1/workers/{worker.id}").json())
        assert shown.running_tasks == running
        assert [(str(one.id), one.name, one.queue) for one in shown.tasks] == [
            (task, "diagnostics.echo", "default")
        ] * running
