"""What `taskyard doctor` makes of the answers of the real API: keys with fewer scopes, and a full Redis."""

from collections.abc import Callable

import pytest
import redis

from taskyard.doctor.echo import Patience
from taskyard.doctor.examination import Examination
from taskyard.doctor.findings import Finding, Report, Verdict
from taskyard_dev.servers import Valkey
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker
from tests.support.fleet import free_port

_PATIENCE = Patience(0.1, slow_echo=30.0, slow_answer=30.0)


def examine(url: str, key: str) -> dict[str, Finding]:
    """By step."""
    report = Report(url, list(Examination(url, key, queues=["default"], patience=_PATIENCE).findings()))
    return {finding.step: finding for finding in report.findings}


@pytest.mark.parametrize(
    ("scopes", "told"),
    [
        (("admin",), "read, submit, manage"),
        (("read", "submit"), "read, submit"),
        (("read",), "read"),
        (("submit",), "submit"),
        (("manage",), "manage"),
    ],
)
def test_the_scopes_of_a_key_are_found_and_no_task_is_made_for_it(api: Api, scopes: tuple[str, ...], told: str) -> None:
    Worker(api.engine)
    found = examine(api.url, api.key(*scopes))
    assert found["key"].says == f"valid; scopes: {told}"
    assert api.count_tasks() == (1 if "submit" in told else 0), "the echo alone"


def test_without_the_scope_manage_an_echo_expires_soon(api: Api) -> None:
    Worker(api.engine)
    found = examine(api.url, api.key("read", "submit"))
    assert "the key lacks `manage`, so it ends when it expires, at" in found["echo default"].says
    with api.engine.connect() as conn:
        left = conn.exec_driver_sql("SELECT extract(epoch FROM expires_at - now()) FROM task").scalar_one()
    assert left < 65


def test_a_key_that_is_wrong_and_an_api_that_is_away_end_the_examination(api: Api) -> None:
    wrong = examine(api.url, "ty_nobody_" + "w" * 43)
    assert wrong["key"].verdict is Verdict.FAIL
    assert "echo default" not in wrong
    away = examine(f"http://127.0.0.1:{free_port()}", "ty_nobody_" + "w" * 43)
    assert away["connect"].away
    assert "key" not in away


def test_scopes_are_found_before_the_first_worker_has_ever_come(start_api: Callable[..., Api]) -> None:
    api = start_api(registered=False)
    found = examine(api.url, api.key("admin"))
    assert found["key"].verdict is Verdict.OK, found["key"].says


def test_a_full_redis_is_told_though_the_api_stays_ready(start_api: Callable[..., Api], own_valkey: Valkey) -> None:
    api = start_api(redis_url=own_valkey.url)
    Worker(api.engine)
    with redis.Redis.from_url(own_valkey.url) as client:
        client.config_set("maxmemory", 1)
        found = examine(api.url, api.key("admin"))
    assert found["ready"].verdict is Verdict.OK
    assert found["redis"].verdict is Verdict.FAIL
    assert found["redis"].says.startswith("the memory of Redis is full")
    assert found["redis"].runbook == found["echo default"].runbook == "TaskyardRedisMemory"
    assert "(it was cancelled)" in found["echo default"].says
