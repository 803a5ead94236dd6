"""Twenty thousand tasks later, every process is as large as after the first five thousand, and Redis is empty."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis

from tests.support.fleet import Fleet, children, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]

ROUND = 1000
WARM_ROUNDS, ALL_ROUNDS = 5, 20
GROWTH = 1.05
_QUIET_SECONDS = 3.0  # after which what was kept for a moment is given back


@pytest.mark.long
def test_memory_stays_and_redis_forgets(fleet: Fleet, redis_client: redis.Redis) -> None:
    processes = {"api": fleet.start_api().pid}
    processes |= {f"scheduler {n}": fleet.start_scheduler().pid for n in (1, 2)}
    for n in (1, 2):
        worker = fleet.start_worker("--max-tasks-per-child", "0", processes=2)
        processes[f"worker {n}"] = worker.pid
        processes |= {f"worker {n}, child {m}": pid for m, pid in enumerate(children(worker.pid), 1)}

    for _ in range(WARM_ROUNDS):
        work(fleet)
    warm = sizes(processes)
    for _ in range(ALL_ROUNDS - WARM_ROUNDS):
        work(fleet)
    end = sizes(processes)

    assert fleet.query("SELECT count(*) AS n FROM task WHERE state = 'succeeded'")[0].n == ROUND * ALL_ROUNDS
    grown = {name: f"{warm[name] / 2**20:.1f} -> {end[name] / 2**20:.1f} MiB" for name in processes}
    print("\n".join(f"{name}: {change}" for name, change in grown.items()))  # noqa: T201 - make soak shows it
    assert {name: grown[name] for name in processes if end[name] > warm[name] * GROWTH} == {}

    # The mark of a Redis that knows everything, and who fetched lately.
    standing = {"taskyard:epoch", "taskyard:__heartbeats__"}
    wait_for(lambda: set(redis_client.scan_iter()) <= standing, 60, f"Redis to be empty: {[*redis_client.scan_iter()]}")
    wait_for(lambda: not fleet.query("SELECT id FROM outbox"), 20, "the outbox to be empty")
    assert redis_client.zcard("taskyard:__heartbeats__") <= len(processes)


def work(fleet: Fleet) -> None:
    """The same each time, for what is large for a moment decides how large a process is."""
    fleet.submit_many(ROUND, "diagnostics.echo", {"value": "x" * 100})
    unfinished = "SELECT EXISTS (SELECT FROM task WHERE finished_at IS NULL) AS some"
    wait_for(lambda: not fleet.query(unfinished)[0].some, 60, "a round to be done")


def sizes(processes: dict[str, int]) -> dict[str, int]:
    """Bytes that are resident, by process."""
    time.sleep(_QUIET_SECONDS)
    return {name: resident(pid) for name, pid in processes.items()}


def resident(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Rss:"))
