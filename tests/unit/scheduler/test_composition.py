"""The parts of the scheduler fit together."""

from pathlib import Path

import pytest

from taskyard.catalogue import types
from taskyard.settings import Settings
from taskyard.telemetry.metrics import Metrics
from taskyard_scheduler.composition import LEDGER_USERS, REDIS_USERS, compose, load_catalogue

# These use another client, which publishes, or none.
WITHOUT_LEDGER = {"tick", "contact", "broker"}


@pytest.mark.parametrize("text", ["import not_installed_here", "1 / 0", "syntax error"])
def test_a_task_module_that_cannot_be_imported_does_not_keep_it_from_leading(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken_types_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_catalogue(Settings(task_modules=(name,))).names == types.load().names


def test_every_job_has_a_thread_and_a_connection_of_its_own() -> None:
    scheduler = compose(Settings(), Metrics("scheduler"))
    jobs = {job.id for job in scheduler.jobs._scheduler.get_jobs()}
    loops = {"promotion", "dispatcher"}
    assert set(LEDGER_USERS) == (jobs | loops) - WITHOUT_LEDGER
    assert set(REDIS_USERS) <= jobs | loops
    executor = scheduler.jobs._scheduler._executors["default"]
    assert executor._pool._max_workers == len(jobs)
    for client in scheduler.clients:
        client.close()
