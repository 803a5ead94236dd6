"""The drill, and what its ledger has to show."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.fleet import Fleet, wait_for
from tests.support.schedules import fires_of, kill_leader, leader_of, make_schedule

_SCHEDULERS = 3
_QUIET_SECONDS = (2.0, 9.0)
_FROZEN_SECONDS = (1.0, 6.0)


@dataclass
class Verdict:
    """`gaps`, `doubles`, `without_task` and `without_fire` have to be 0."""

    kills: int = 0
    freezes: int = 0
    epochs: int = 0
    due_times: int = 0
    gaps: int = 0
    doubles: int = 0
    without_task: int = 0
    without_fire: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    drift_p50_seconds: float = 0.0
    drift_p99_seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return not (self.gaps or self.doubles or self.without_task or self.without_fire)

    @property
    def says_something(self) -> bool:
        return self.kills > 0 and self.epochs > 1 and self.due_times > 0


def drill(home: Path, database_url: str, redis_url: str, *, minutes: float, schedules: int, seed: int) -> Verdict:
    """Kills and freezes whoever leads, at random, for so many minutes."""
    fleet = Fleet(home, database_url, redis_url)
    fleet.environment |= {"TASKYARD_LEADER_LEASE_SECONDS": "2", "TASKYARD_MISFIRE_GRACE_SECONDS": "60"}
    verdict, rand = Verdict(), random.Random(seed)
    try:
        fleet.start_all(processes=2)
        for _ in range(_SCHEDULERS - 1):
            fleet.start_scheduler()
        wait_for(lambda: leader_of(fleet) is not None, 60, "a leader")
        made = [make_schedule(fleet, f"each second {n}", trigger={"every_seconds": 1}) for n in range(schedules)]
        until = time.monotonic() + 60 * minutes
        while time.monotonic() < until:
            time.sleep(min(rand.uniform(*_QUIET_SECONDS), max(0.0, until - time.monotonic())))
            if rand.random() < 0.25:
                verdict.freezes += _freeze_leader(fleet, rand.uniform(*_FROZEN_SECONDS))
            elif kill_leader(fleet) is not None:
                verdict.kills += 1
                fleet.start_scheduler()
        judge(fleet, made, verdict)
        verdict.epochs = fleet.query("SELECT epoch FROM leader")[0].epoch
        return verdict
    finally:
        fleet.stop()


def _freeze_leader(fleet: Fleet, seconds: float) -> int:
    """1, unless nobody leads."""
    pid = leader_of(fleet)
    if pid is None or not any(process.pid == pid for process in fleet.processes):
        return 0
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
    return 1


def judge(fleet: Fleet, schedules: Sequence[Mapping[str, Any]], verdict: Verdict) -> None:
    """Once whoever leads has caught up, and they are paused."""
    late = "SELECT count(*) AS n FROM schedule WHERE fires_at < now() - interval '1.5 seconds'"
    wait_for(lambda: fleet.query(late)[0].n == 0, 60, "the last leader to catch up")
    for one in schedules:
        fleet.http.post(f"/schedules/{one['id']}/pause").raise_for_status()
    time.sleep(1)
    for one in schedules:
        _judge(fleet, one["id"], verdict)


def _judge(fleet: Fleet, schedule_id: str, verdict: Verdict) -> None:
    fires = fires_of(fleet, schedule_id)
    due = [fire.due_at for fire in fires]
    verdict.due_times += len(due)
    verdict.doubles += len(due) - len(set(due))
    verdict.gaps += sum(b - a != timedelta(seconds=1) for a, b in pairwise(due))
    for outcome, count in Counter(fire.outcome for fire in fires).items():
        verdict.outcomes[outcome] = verdict.outcomes.get(outcome, 0) + count
    tasks = {row.id for row in fleet.query("SELECT id FROM task WHERE schedule_id = :id", id=schedule_id)}
    named = [fire.task_id for fire in fires if fire.outcome == "submitted"]
    verdict.doubles += len(named) - len(set(named))
    verdict.without_task += len(set(named) - tasks)
    verdict.without_fire += len(tasks - set(named))
    drifts = sorted((fire.fired_at - fire.due_at).total_seconds() for fire in fires)
    verdict.drift_p50_seconds = max(verdict.drift_p50_seconds, drifts[len(drifts) // 2])
    verdict.drift_p99_seconds = max(verdict.drift_p99_seconds, drifts[len(drifts) * 99 // 100])
