"""health.check against the real servers, and against none."""

import socket
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from taskyard.running.trial import run_task
from taskyard.storage.local import LocalStorage
from taskyard.store.ledger import make_engine
from taskyard_dev.smtp_sink import smtp_sink
from taskyard_kits.health import tasks as health
from taskyard_kits.health.settings import HealthSettings
from tests.support.http_stand_in import Reply
from tests.support.model_servers import litellm, ollama


def settings(**values: Any) -> HealthSettings:
    return HealthSettings.model_validate({"smtp_host": None, "smtp_security": "none", **values})


def test_all_is_well(task_engine: Engine, redis_url: str, storage: LocalStorage, tmp_path: Path) -> None:
    with smtp_sink(tmp_path / "sink") as port:
        given = settings(redis_url=redis_url, smtp_host="127.0.0.1", smtp_port=port)
        run = run_task("health.check", {}, settings=given, engine=task_engine, storage=storage)
    result = run.result
    assert result["status"] == "ok"
    assert run.attributes == {"health.overall_status": "ok"}
    assert set(result["checks"]) == {"redis", "postgresql", "storage", "smtp"}
    for check in result["checks"].values():
        assert check["status"] == "ok"
        assert check["reason"] is None
        assert 0 < check["latency_ms"] < 5000


def test_mail_is_left_out_where_it_is_not_set(task_engine: Engine, redis_url: str, storage: LocalStorage) -> None:
    run = run_task("health.check", {}, settings=settings(redis_url=redis_url), engine=task_engine, storage=storage)
    assert set(run.result["checks"]) == {"redis", "postgresql", "storage"}


def test_each_failure_is_named_in_words_without_addresses(tmp_path: Path) -> None:
    (tmp_path / "storage").write_text("not a directory")
    given = settings(redis_url="redis://:pass@127.0.0.1:1/0", smtp_host="127.0.0.1", smtp_port=1)
    away = make_engine("postgresql+psycopg://someone:pass@127.0.0.1:1/none")
    run = run_task("health.check", {}, settings=given, engine=away, storage=LocalStorage(tmp_path / "storage"))
    assert run.result["status"] == "degraded"
    reasons = {name: check["reason"] for name, check in run.result["checks"].items()}
    assert reasons["redis"] == "Redis does not answer."
    assert reasons["postgresql"] == "PostgreSQL does not answer."
    assert "the storage directory is not a directory" in reasons["storage"]
    assert "mail server" in reasons["smtp"]
    codes = {name: check["code"] for name, check in run.result["checks"].items()}
    assert codes == {
        "redis": "redis_silent",
        "postgresql": "postgresql_silent",
        "storage": "storage_unavailable",
        "smtp": "smtp_unreachable",
    }
    assert "pass" not in str(run.result)
    assert "127.0.0.1" not in str(run.result)


def test_a_server_that_is_silent_holds_nobody_up(
    task_engine: Engine, redis_url: str, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE", health.PATIENCE / 5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given = settings(
            redis_url=redis_url,
            smtp_host="127.0.0.1",
            smtp_port=silent.getsockname()[1],
            smtp_timeout_seconds=4.0,
        )
        result = run_task("health.check", {}, settings=given, engine=task_engine, storage=storage).result
    assert result["checks"]["smtp"]["status"] == "failed"
    assert result["checks"]["smtp"]["latency_ms"] < 3500
    assert result["checks"]["redis"]["status"] == "ok"


def test_providers_are_checked_where_they_are_configured(
    task_engine: Engine, redis_url: str, storage: LocalStorage
) -> None:
    with ollama() as local, litellm() as proxy:
        given = settings(
            redis_url=redis_url, cache_url=redis_url, ollama_base_url=local.url, litellm_base_url=proxy.url
        )
        result = run_task("health.check", {}, settings=given, engine=task_engine, storage=storage).result
        assert result["status"] == "ok"
        assert set(result["checks"]) == {"redis", "postgresql", "storage", "cache", "ollama", "litellm"}
        assert all(check["latency_ms"] > 0 for check in result["checks"].values())

        local.is_away = True
        proxy.fault = Reply(500, b"")
        result = run_task("health.check", {}, settings=given, engine=task_engine, storage=storage).result
        proxy.fault = Reply(429, b"")
        busy = run_task("health.check", {}, settings=given, engine=task_engine, storage=storage).result
    assert busy["checks"]["litellm"]["reason"].startswith("The provider LiteLLM asks for fewer calls.")
    assert result["status"] == "degraded"
    failed = {name: check for name, check in result["checks"].items() if check["status"] == "failed"}
    assert {name: check["code"] for name, check in failed.items()} == {
        "ollama": "provider_unanswered",
        "litellm": "provider_refused",
    }
    assert failed["litellm"]["reason"].startswith("The provider LiteLLM answered with the status 500.")
    assert "127.0.0.1" not in str(result)
