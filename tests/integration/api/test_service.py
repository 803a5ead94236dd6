"""The service through outages of its servers; migrations, keys and checks by command."""

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from taskyard.domain.errors import LedgerUnavailable
from taskyard.store.ledger import make_engine
from taskyard_api.auth import Keys
from taskyard_api.ledger_pool import LedgerPool
from taskyard_api.refusals import Unauthenticated
from taskyard_dev.postgres import Postgres
from taskyard_dev.valkey import Valkey
from tests.integration.api.conftest import Api, new_key
from tests.integration.api.program import command, environment
from tests.support.cases import one_in
from tests.support.fleet import wait_for
from tests.support.specs import register_kits
from tests.support.unheard import Unheard

ECHO = {"name": "diagnostics.echo", "params": {"value": 1}}


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
@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.parametrize(
    "wrong",
    one_in(
        3,
        [
            ["--expires-in-days", "99999999999"],
            ["--expires-in-days", "inf"],
            ["--expires-in-days", "nan"],
            ["--expires-in-days", "-1"],
            ["--queue", "nosuchqueue"],
            ["--queue", "default", "--queue", "\u00fcber"],
        ],
    ),
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
