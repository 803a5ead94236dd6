"""maintenance.cleanup_expired_data: entries of caches that nothing would remove, and temporary files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis

from taskyard import TaskContext
from taskyard.broker.names import Names
from taskyard.domain.errors import SoftTimeLimitExceeded
from taskyard_kits.maintenance.settings import MaintenanceSettings
from tests.kits.conftest import Run
from tests.support.fleet import free_port

NAMES = Names("mine")


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    made = tmp_path / "temp"
    made.mkdir()
    return made


def settings(redis_url: str, temp: Path, **more: object) -> MaintenanceSettings:
    values = {"redis_url": redis_url, "temp_dir": temp, "namespace": "mine", "temp_file_max_age_hours": 1e-9, **more}
    return MaintenanceSettings.model_validate(values)


def test_entries_without_a_time_to_live_go_and_nothing_else_of_redis(
    run: Run, redis_url: str, redis_client: redis.Redis, temp: Path
) -> None:
    redis_client.set(NAMES.models("lasting"), "x")
    redis_client.set(NAMES.models("fresh"), "x", ex=3600)
    others = [NAMES.epoch, NAMES.queue("default"), "other:models:ollama", "mine:modelsx"]
    for key in others:
        redis_client.set(key, "x")
    (temp / "old").write_text("x")
    time.sleep(0.02)
    run_settings = settings(redis_url, temp)
    first = run("maintenance.cleanup_expired_data", settings=run_settings)
    assert first.result == {"redis_keys_cleaned": 1, "temp_files_removed": 1}
    assert first.attributes == {"cleanup.redis_keys": 1, "cleanup.temp_files": 1}
    assert set(redis_client.keys()) == {NAMES.models("fresh"), *others}
    assert redis_client.ttl(NAMES.models("fresh")) > 3000
    again = run("maintenance.cleanup_expired_data", settings=run_settings).result
    assert again == {"redis_keys_cleaned": 0, "temp_files_removed": 0}


def test_a_cache_of_its_own_is_the_one_that_is_cleaned(
    run: Run, redis_url: str, redis_client: redis.Redis, temp: Path
) -> None:
    redis_client.set(NAMES.models("lasting"), "x")
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    found = run("maintenance.cleanup_expired_data", settings=settings(nowhere, temp, cache_url=redis_url))
    assert found.result["redis_keys_cleaned"] == 1


def test_a_cache_that_does_not_answer_is_tried_again_in_seconds(run: Run, temp: Path) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    found = run("maintenance.cleanup_expired_data", settings=settings(nowhere, temp))
    assert (found.fault.code, found.will_retry) == ("cache_unavailable", True)


def test_where_the_cache_is_away_no_file_goes_uncounted(run: Run, temp: Path) -> None:
    (temp / "old").write_text("x")
    time.sleep(0.02)
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    assert run("maintenance.cleanup_expired_data", settings=settings(nowhere, temp)).will_retry
    assert (temp / "old").exists(), "for the attempt that comes through"


@pytest.mark.parametrize("name", ["files.cleanup_temporary", "maintenance.cleanup_expired_data"])
def test_at_the_soft_limit_the_result_is_what_is_done(
    run: Run, redis_url: str, redis_client: redis.Redis, temp: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    redis_client.set(NAMES.models("lasting"), "x")
    for n in range(9):
        (temp / str(n)).write_text("x")
    time.sleep(0.02)

    def check(context: TaskContext) -> None:
        if len(list(temp.iterdir())) == 6:
            raise SoftTimeLimitExceeded

    monkeypatch.setattr(TaskContext, "check_cancelled", check)
    found = run(name, settings=settings(redis_url, temp))
    assert (found.result["temp_files_removed"], found.result.get("redis_keys_cleaned", 1)) == (3, 1)
    assert found.logs[-1].endswith("There was no time for all of them.")


@pytest.mark.parametrize("days", ["-1", "nan", "4000"])
def test_a_retention_that_is_none_is_refused(days: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKYARD_ARCHIVE_FAILED_AFTER_DAYS", days)
    with pytest.raises(ValueError, match="TASKYARD_ARCHIVE_FAILED_AFTER_DAYS"):
        MaintenanceSettings()
