"""The parts of the scheduler fit together."""

from pathlib import Path

import pytest

from taskyard.catalogue import kits
from taskyard.settings import Settings
from taskyard.telemetry.metrics import Metrics
from taskyard_scheduler.composition import compose, load_catalogue


@pytest.mark.parametrize("text", ["import not_installed_here", "1 / 0", "syntax error"])
def test_a_task_module_that_cannot_be_imported_does_not_keep_it_from_leading(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken_types_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_catalogue(Settings(task_modules=(name,))).names == kits.load(Settings()).catalogue.names


def test_every_job_has_a_thread_and_a_connection_of_its_own() -> None:
    scheduler = compose(Settings(), Metrics("scheduler"))
    assert len(scheduler.jobs._scheduler.get_jobs()) == 12
    assert scheduler.jobs._scheduler._executors["default"]._pool._max_workers == 12
    # All jobs but tick, contact and broker, with the promotion and the dispatcher; and the lease.
    assert [engine.pool.size() for engine in scheduler.engines] == [11, 1]  # type: ignore[attr-defined]
    # The promotion, rebuild, missing, broker and maintenance.
    assert scheduler.clients[0].connection_pool.max_connections == 5
    for client in scheduler.clients:
        client.close()
