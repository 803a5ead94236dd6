"""Health by progress: an outage of Redis ends being ready, and restarts nothing."""

from __future__ import annotations

import subprocess

import pytest

from taskyard.telemetry.heartbeat import Heartbeat
from taskyard_dev.servers import Valkey
from tests.support.fleet import Fleet, children, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def problem(worker: subprocess.Popen[bytes], fleet: Fleet, *, ready: bool) -> str | None:
    (file,) = fleet.home.glob("worker-*.alive")
    assert worker.poll() is None
    heartbeat = Heartbeat("worker", file)
    return heartbeat.unready() if ready else heartbeat.problem()


def test_an_outage_of_redis_ends_being_ready_and_restarts_nothing(own_fleet: Fleet, own_valkey: Valkey) -> None:
    fleet, valkey = own_fleet, own_valkey
    worker = fleet.start_worker(processes=2)
    wait_for(lambda: problem(worker, fleet, ready=True) is None, 30, "the worker to take work")
    before = children(worker.pid)
    valkey.stop()
    try:
        said = "its child processes get at no work: PostgreSQL or Redis does not answer"
        wait_for(lambda: problem(worker, fleet, ready=True) == said, 40, "the worker to say that it can't")
        assert problem(worker, fleet, ready=False) is None, "it lives"
    finally:
        valkey.start()
    wait_for(lambda: problem(worker, fleet, ready=True) is None, 30, "the worker to take work again")
    assert children(worker.pid) == before
