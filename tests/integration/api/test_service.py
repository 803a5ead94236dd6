"""The service as a process: start, stop, health; keys by command; outages of the database."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.domain.errors import LedgerUnavailable
from taskyard.store.ledger import make_engine
from taskyard_api import health_answers
from taskyard_api.auth import Keys
from taskyard_api.ledger_pool import LedgerPool
from taskyard_api.refusals import Unauthenticated
from taskyard_dev.postgres import Postgres
from taskyard_dev.valkey import Valkey
from tests.integration.api.conftest import Api, new_key
from tests.integration.api.worker import Worker
from tests.support.fleet import wait_for
from tests.support.specs import register_kits
from tests.support.unheard import Unheard

BIN = Path(sys.executable).parent
ECHO = {"name": "diagnostics.echo", "params": {"value": 1}}


def environment(database_url: str, redis_url: str, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}
    return {
        **kept,
        "TASKYARD_DATABASE_URL": database_url,
        "TASKYARD_REDIS_URL": redis_url,
        "TASKYARD_DIAGNOSTICS": "1",
        "TASKYARD_API_PORT": "0",
        "TASKYARD_METRICS_PORT": "0",
        "TASKYARD_LOG_FORMAT": "json",
        **more,
    }


def command(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "taskyard-api"), *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
    )


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


def test_redis_being_away_degrades_and_submits_go_on(start_api: Callable[..., Api]) -> None:
    api = start_api(redis_url="redis://127.0.0.1:1/0")
    assert api.http.get("/health/ready").json()["status"] == "degraded"
    task = api.submit()
    assert api.http.get(f"/api/v1/tasks/{task['id']}").json()["state"] == "queued"
    with api.engine.connect() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM outbox")).scalar_one() == 1


def test_a_database_without_tables_is_not_ready(start_api: Callable[..., Api], postgres: Postgres) -> None:
    url = postgres.create_database("never_migrated")
    api = start_api(database_url=url)
    for path in ("/health/ready", "/api/v1/tasks"):
        answer = api.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_migrated"), path
        assert "Retry-After" in answer.headers
    # The key belongs to another database.
    key = api.http.headers["Authorization"].removeprefix("Bearer ")
    env = environment(url, api.settings.redis_url.get_secret_value(), TASKYARD_BOOTSTRAP_KEY=key)
    assert command(env, "migrate").returncode == 0
    assert command(env, "keys", "bootstrap").returncode == 0
    migrated = make_engine(url)
    register_kits(migrated)
    migrated.dispose()
    wait_for(lambda: api.http.post("/api/v1/tasks", json=ECHO).status_code == 202, 10, "a submit", every=0.2)


def test_migrate_refuses_an_address_that_leads_to_a_pooler(database_url: str, redis_url: str) -> None:
    pooled = sa.make_url(database_url).update_query_dict({"pgbouncer": "true"}).render_as_string(hide_password=False)
    refused = command(environment(pooled, redis_url), "migrate")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "leads to PostgreSQL itself" in refused.stderr


def test_migrating_without_the_right_to_create_tables_fails_with_one_line(postgres: Postgres, redis_url: str) -> None:
    postgres.create_database("no_tables_here")
    with postgres.connect("postgres") as connection:
        connection.execute("CREATE ROLE nobody_of_note LOGIN PASSWORD 'pw'")
    url = f"postgresql://nobody_of_note:pw@127.0.0.1:{postgres.port}/no_tables_here"
    refused = command(environment(url, redis_url), "migrate")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("taskyard-api: PostgreSQL refuses: permission denied")
    assert refused.stderr.count("\n") == 1


async def _names_by(keys: Keys, key: str) -> str:
    return (await keys.authenticate(f"Bearer {key}".encode())).name


def test_a_valid_key_stays_valid_during_an_outage_and_no_other_key_does(own_postgres: Postgres) -> None:
    """Otherwise /health/detailed could not be read during an outage."""
    engine, clock = make_engine(own_postgres.url()), [0.0]
    good, unseen = new_key(engine, "read", name="good"), new_key(engine, "read")
    ledger = LedgerPool(engine, 1, Unheard())
    keys = Keys(ledger, clock=lambda: clock[0])
    assert asyncio.run(_names_by(keys, good)) == "good"
    own_postgres.stop()
    for clock[0] in (10.0, 11.5, 3000.0):
        assert asyncio.run(_names_by(keys, good)) == "good"
        with pytest.raises(Unauthenticated):
            asyncio.run(_names_by(keys, f"{good[:12]}{'A' * 43}"))
        with pytest.raises(LedgerUnavailable):
            asyncio.run(_names_by(keys, unseen))
    clock[0] = 3700.0
    with pytest.raises(LedgerUnavailable):
        asyncio.run(_names_by(keys, good))
    own_postgres.start()
    with engine.connect() as conn:
        conn.execute(sa.text("UPDATE api_key SET revoked_at = now() WHERE name = 'good'"))
    with pytest.raises(Unauthenticated):
        asyncio.run(_names_by(keys, good))
    ledger.close()
    engine.dispose()


@pytest.mark.timeout(180)
def test_postgresql_goes_and_comes_back(
    start_api: Callable[..., Api], own_postgres: Postgres, own_valkey: Valkey
) -> None:
    engine = make_engine(own_postgres.url())
    key = new_key(engine, "admin")
    register_kits(engine)
    api = start_api(registered=False, database_url=own_postgres.url(), redis_url=own_valkey.url)
    client = api.client(key)
    body = {"name": "diagnostics.echo", "params": {"value": 1}}
    assert client.post("/api/v1/tasks", json=body).status_code == 202
    own_postgres.stop()
    calls: list[Callable[[], httpx.Response]] = [
        lambda: client.get("/api/v1/tasks"),
        lambda: client.post("/api/v1/tasks", json=body),
        lambda: client.get("/health/ready"),
        lambda: api.client("ty_aaaaaaaa_" + "A" * 43).get("/api/v1/tasks"),
    ]
    for call in calls:
        started = time.monotonic()
        answer = call()
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
        assert "Retry-After" in answer.headers
        assert time.monotonic() - started < 10
    assert client.get("/health/live").status_code == 200
    own_postgres.start()
    wait_for(lambda: client.post("/api/v1/tasks", json=body).status_code == 202, 60, "a submit", every=0.2)
    engine.dispose()


def test_keys_are_made_listed_and_revoked_by_command(database_url: str, redis_url: str) -> None:
    env = environment(database_url, redis_url)
    first = command(env, "keys", "bootstrap", "--json")
    assert (first.returncode, re.match(r"ty_[a-z0-9]{8}_", json.loads(first.stdout)["key"]) is not None) == (0, True)
    again = command(env, "keys", "bootstrap")
    assert (again.returncode, "nothing was made" in again.stdout) == (0, True)
    made = command(env, "keys", "create", "--name", "ci", "--scope", "submit", "--scope", "read", "--json")
    assert json.loads(made.stdout)["scopes"] == ["submit", "read"]
    assert command(env, "keys", "create", "--name", "ci", "--scope", "read").returncode == 1
    assert command(env, "keys", "create", "--name", "x", "--scope", "nope").returncode == 2
    assert command(env, "keys", "revoke", "ci").returncode == 0
    assert command(env, "keys", "revoke", "ci").returncode == 1
    listed = json.loads(command(env, "keys", "list", "--json").stdout)
    assert [(k["name"], k["state"]) for k in listed] == [("bootstrap", "valid"), ("ci", "revoked")]
    assert json.loads(made.stdout)["key"] not in json.dumps(listed)


def test_two_bootstraps_at_once_make_one_key(database_url: str, redis_url: str) -> None:
    key = "ty_abcdefgh_" + "A" * 43
    env = environment(database_url, redis_url, TASKYARD_BOOTSTRAP_KEY=key)
    done: list[Any] = []
    threads = [threading.Thread(target=lambda: done.append(command(env, "keys", "bootstrap"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [d.returncode for d in done] == [0, 0, 0]
    assert sum("Made the first key" in d.stdout for d in done) == 1
    assert not any(key in d.stdout for d in done)
    wrong = command({**env, "TASKYARD_BOOTSTRAP_KEY": "short"}, "keys", "bootstrap")
    assert (wrong.returncode, "TASKYARD_BOOTSTRAP_KEY" in wrong.stderr) == (2, True)


def test_a_first_key_of_production_is_given_and_never_printed(database_url: str, redis_url: str) -> None:
    env = environment(database_url, redis_url, APP_ENV="production")
    refused = command(env, "keys", "bootstrap")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "taskyard-api: TASKYARD_BOOTSTRAP_KEY: must be set where APP_ENV=production\n"
    assert command(env, "keys", "list", "--json").stdout.strip() == "[]"


def test_the_exit_code_of_commands_shows_that_a_dependency_is_away(database_url: str, redis_url: str) -> None:
    env = environment(database_url, redis_url)
    assert command(env, "check").returncode == 0
    assert json.loads(command(env, "migrate", "--json").stdout)["revision"]
    assert json.loads(command(env, "openapi").stdout)["openapi"].startswith("3.1")
    assert command({**env, "TASKYARD_REDIS_URL": "redis://127.0.0.1:1/0"}, "check", "--json").returncode == 3
    away = {**env, "TASKYARD_DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    for arguments in (["check"], ["migrate"], ["keys", "list"]):
        assert command(away, *arguments).returncode == 3, arguments
    wrong = command({**env, "TASKYARD_API_PORT": "many"}, "serve")
    assert (wrong.returncode, "TASKYARD_API_PORT" in wrong.stderr) == (2, True)
    assert command(env, "serve", "--nope").returncode == 2


def test_check_says_whether_the_role_of_tasks_is_fit(database_url: str, task_url: str, redis_url: str) -> None:
    def check(url: str) -> tuple[int, str]:
        ended = command({**environment(database_url, redis_url), "TASKYARD_TASK_DATABASE_URL": url}, "check", "--json")
        return ended.returncode, json.loads(ended.stdout)["tasks"]["says"]

    assert check("") == (0, "TASKYARD_TASK_DATABASE_URL is not set here: workers need it")
    assert check(task_url) == (0, "use PostgreSQL as taskyard_task, which cannot touch the ledger")
    code, says = check(database_url)
    assert (code, "SUPERUSER" in says) == (1, True)
    assert check("postgresql://u@127.0.0.1:1/x")[0] == 3


def test_the_service_imports_no_task_code_whatever_modules_are_named(database_url: str, redis_url: str) -> None:
    env = environment(database_url, redis_url, TASKYARD_TASK_MODULES="no.such")
    checked = command(env, "check", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["settings"]["ok"]) == (0, True), checked.stderr
    build = (
        "import sys; from taskyard.environment import read_settings; from taskyard_api.composition import build;"
        "build(read_settings()); print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", build], env=env, capture_output=True, text=True, check=True)
    modules = found.stdout.split()
    task_code = (
        *("taskyard_kits", "taskyard.catalogue.kits", "taskyard.catalogue.declare", "PIL"),
        *("taskyard.running.context", "taskyard.running.attempt", "taskyard.running.trial"),
    )
    assert not [name for name in modules if name.startswith(task_code)]


def test_it_answers_on_a_socket_that_it_inherits_also_what_came_before_it(database_url: str, redis_url: str) -> None:
    env = environment(database_url, redis_url)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/health/live"
        asked = threads.submit(httpx.get, url, timeout=60)
        serve = [str(BIN / "taskyard-api"), "serve", "--fd", str(listener.fileno())]
        with subprocess.Popen(serve, env=env, pass_fds=[listener.fileno()], text=True) as process, killed(process):
            assert asked.result().status_code == 200


def test_a_descriptor_that_is_no_socket_is_one_line(database_url: str, redis_url: str) -> None:
    ended = command(environment(database_url, redis_url), "serve", "--fd", "99")
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (
        1,
        "taskyard-api: cannot listen on descriptor 99: Bad file descriptor",
    )


def test_a_stop_answers_what_is_in_flight_and_takes_seconds(database_url: str, redis_url: str, engine: Engine) -> None:
    register_kits(engine)
    env = environment(database_url, redis_url)
    key = json.loads(command(env, "keys", "bootstrap", "--json").stdout)["key"]
    with (
        served(env) as (process, address),
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=20) as http,
    ):
        task = _first_task(http)
        waited: list[Any] = []
        waiter = threading.Thread(
            target=lambda: waited.append(http.get(f"/api/v1/tasks/{task}?wait=60").json()["state"])
        )
        with http.stream("GET", f"/api/v1/tasks/{task}/events", headers={"Accept": "text/event-stream"}) as stream:
            waiter.start()
            time.sleep(1.5)
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert time.monotonic() - started < 8, "it would wait ten seconds for who does not go"
            assert "submitted" in "".join(stream.iter_text())
        waiter.join()
        assert waited == ["queued"]


def test_a_stop_writes_the_requests_that_were_counted(database_url: str, redis_url: str, engine: Engine) -> None:
    env = environment(database_url, redis_url)
    with served(env) as (process, address):
        for _ in range(7):
            assert httpx.get(f"{address}/api/v1/users/{os.getpid()}", timeout=20).status_code == 401
        with engine.connect() as conn:
            assert conn.exec_driver_sql("SELECT count(*) FROM request_count").scalar_one() == 0, "not a row a request"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with engine.connect() as conn:
        rows = "SELECT method, route, status, sum(requests) FROM request_count GROUP BY 1, 2, 3"
        assert [tuple(row) for row in conn.exec_driver_sql(rows)] == [("GET", "/api/v1/users/{user_id}", 401, 7)]


def test_until_its_stop_it_tells_proxies_to_go_and_answers_what_they_still_send(
    database_url: str, redis_url: str, engine: Engine
) -> None:
    register_kits(engine)
    env = environment(database_url, redis_url, TASKYARD_API_STOP_DELAY_SECONDS="5")
    key = json.loads(command(env, "keys", "bootstrap", "--json").stdout)["key"]
    headers = {"Authorization": f"Bearer {key}"}
    with served(env) as (process, address), httpx.Client(base_url=address, headers=headers, timeout=20) as kept:
        accepted = [_first_task(kept)]
        assert httpx.get(f"{address}/health/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: httpx.get(f"{address}/health/ready").status_code == 503, what="not to be ready")
        assert httpx.get(f"{address}/health/ready").json()["code"] == "stopping"
        assert httpx.get(f"{address}/health/live").status_code == 200
        # On the connection that was open before the signal, and on a new one: neither is to be used once more.
        for http in (kept, httpx.Client(base_url=address, headers=headers, timeout=20)):
            answer = http.post("/api/v1/tasks", json=ECHO)
            assert (answer.status_code, answer.headers["Connection"]) == (202, "close")
            accepted.append(answer.json()["id"])
            http.close()
        assert process.poll() is None
        assert process.wait(30) == 0
    with engine.connect() as conn:
        assert {str(row[0]) for row in conn.exec_driver_sql("SELECT id FROM task")} == set(accepted)


@contextmanager
def served(env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`taskyard-api serve` as a process, and its address."""
    with (
        subprocess.Popen([str(BIN / "taskyard-api"), "serve"], env=env, stderr=subprocess.PIPE, text=True) as process,
        killed(process),
    ):
        assert process.stderr is not None
        port = next(json.loads(line)["port"] for line in process.stderr if line.startswith("{") and '"serving"' in line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process, f"http://127.0.0.1:{port}"


@contextmanager
def killed(process: subprocess.Popen[str]) -> Iterator[None]:
    """Ends it where the test fails: its `with` would wait for it."""
    try:
        yield
    finally:
        process.kill()


def _first_task(http: httpx.Client) -> str:
    deadline = time.monotonic() + 20
    while True:
        try:
            answer = http.post("/api/v1/tasks", json={"name": "diagnostics.echo", "params": {"value": 1}})
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
            continue
        assert answer.status_code == 202
        return str(answer.json()["id"])


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
        assert client.get(f"/api/v1/workers/{worker.id}").json()["running_tasks"] == running


@pytest.mark.parametrize(
    "wrong",
    [
        ["--expires-in-days", "99999999999"],
        ["--expires-in-days", "inf"],
        ["--expires-in-days", "nan"],
        ["--expires-in-days", "-1"],
        ["--queue", "nosuchqueue"],
        ["--queue", "default", "--queue", "\u00fcber"],
    ],
    ids=" ".join,
)
def test_invalid_options_of_a_key_are_refused_in_one_line(database_url: str, redis_url: str, wrong: list[str]) -> None:
    env = environment(database_url, redis_url)
    refused = command(env, "keys", "create", "--name", "x", "--scope", "read", *wrong)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert [line.startswith("taskyard-api: --") for line in refused.stderr.splitlines()] == [True]
    assert json.loads(command(env, "keys", "list", "--json").stdout) == []


def test_every_command_takes_a_log_level_and_has_help(database_url: str, redis_url: str) -> None:
    env = environment(database_url, redis_url)
    keys = (["keys", verb] for verb in ("create", "list", "revoke", "bootstrap"))
    for words in (["serve"], ["openapi"], ["migrate"], ["check"], *keys):
        shown = command(env, *words, "-h")
        assert (shown.returncode, "--log-level" in shown.stdout) == (0, True), words
    wrong = command(env, "check", "--log-level", "loud")
    assert (wrong.returncode, wrong.stderr.startswith("taskyard-api: TASKYARD_LOG_LEVEL: ")) == (2, True)
    assert "--install-completion" not in command(env, "-h").stdout
