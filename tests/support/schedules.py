"""Schedules of a fleet, and what their ledger has to show."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from tests.support.fleet import Fleet

ECHO = {"name": "diagnostics.echo", "params": {"value": 1}}


def make_schedule(fleet: Fleet, name: str, *, task: dict[str, Any] = ECHO, **more: Any) -> dict[str, Any]:
    answer = fleet.http.post("/schedules", json={"name": name, "task": task, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def fires_of(fleet: Fleet, schedule_id: str) -> Sequence[sa.Row[Any]]:
    """By due time."""
    return fleet.query("SELECT * FROM schedule_fire WHERE schedule_id = :id ORDER BY due_at", id=schedule_id)


def leader_of(fleet: Fleet) -> int | None:
    """The process id of who leads, by PostgreSQL's word."""
    rows = fleet.query("SELECT holder_name FROM leader WHERE expires_at > now()")
    return int(rows[0].holder_name.rpartition(":")[2]) if rows else None


def kill_leader(fleet: Fleet) -> int | None:
    """As `kill -9`; None: nobody leads at this moment."""
    pid = leader_of(fleet)
    if pid is not None and any(process.pid == pid and process.poll() is None for process in fleet.processes):
        os.kill(pid, signal.SIGKILL)
        return pid
    return None


def assert_each_due_time_once(fires: Sequence[sa.Row[Any]], *, every: float) -> None:
    """No gap and no double. (The key of the table refuses a double; that it is there is what is seen here.)"""
    due = [fire.due_at for fire in fires]
    assert len(set(due)) == len(due)
    gaps = {b - a for a, b in itertools.pairwise(due)}
    assert gaps <= {timedelta(seconds=every)}, f"gaps: {sorted(gaps)}"
