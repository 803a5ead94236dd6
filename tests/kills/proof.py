"""One run: servers, a scheduler, the application and its deaths, and what is found afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.broker.names import Names
from taskyard.lifecycle import workers
from taskyard.settings import DEFAULT_QUEUES
from taskyard.store import ledger
from tests.support.applications import application, role_of
from tests.support.scheduling import Scheduler, scalar
from tests.support.specs import register_kits

_SETTLE_SECONDS = 60.0
_A_KILL_SECONDS = 2.0

# The first tasks of the application belong to no order.
_TASKS = "FROM task WHERE params ->> 'value' IS NOT NULL"
_LOST = f"""
SELECT count(*) FROM {{orders}} o
WHERE NOT EXISTS (SELECT {_TASKS} AND id = o.task_id AND params ->> 'value' = CAST(o.id AS text))
"""
_PHANTOM = f"SELECT count(*) {_TASKS} AND NOT EXISTS (SELECT FROM {{orders}} o WHERE o.task_id = task.id)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`in_doubt`: how many kills came between the begin and the answer of a COMMIT, and how many of those had
    committed."""

    kills: int
    orders: int
    in_doubt: int
    in_doubt_committed: int
    lost: int
    phantom: int
    unpublished: int
    published_for_nothing: int

    @property
    def holds(self) -> bool:
        return not (self.lost or self.phantom or self.unpublished or self.published_for_nothing)

    @property
    def says_something(self) -> bool:
        """Kills came on both sides of the moment at which a commit becomes durable."""
        return 0 < self.in_doubt_committed < self.in_doubt


def prove(
    database_url: str, redis_url: str, *, kills: int, seed: int, apart: bool = False, directory: Path | None = None
) -> Verdict:
    """On a migrated database and an empty Redis."""
    engine = ledger.make_engine(database_url)
    with ledger.connection(engine) as conn:
        workers.ensure_queues(conn, DEFAULT_QUEUES)
    register_kits(engine)
    with tempfile.TemporaryDirectory() as made, application(engine, database_url) as url:
        scheduler = Scheduler(
            directory or Path(made), "kills", TASKYARD_DATABASE_URL=database_url, TASKYARD_REDIS_URL=redis_url
        )
        try:
            in_doubt = _killed({"url": url, "kills": kills, "seed": seed, "apart": apart})
            _settle(engine, role_of(url))
            found = _look(engine, redis_url, f"{role_of(url)}.orders", kills, in_doubt)
        finally:
            scheduler.end()
    engine.dispose()
    return found


def _killed(wanted: dict[str, Any]) -> list[UUID]:
    """The orders whose commits were under way at a kill."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.kills.application"],
        input=json.dumps(wanted),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60 + wanted["kills"] * _A_KILL_SECONDS,
    )
    told = [json.loads(line)["order"] for line in run.stdout.splitlines()]
    return [UUID(order) for order in told if order is not None]


def _settle(engine: Engine, role: str) -> None:
    """Until PostgreSQL has ended what the dead had begun, and the scheduler has relayed the rest."""
    until = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < until:
        sessions = scalar(engine, "SELECT count(*) FROM pg_stat_activity WHERE usename = :role", role=role)
        if sessions + scalar(engine, "SELECT count(*) FROM application_outbox") == 0:
            return
        time.sleep(0.1)


def _look(engine: Engine, redis_url: str, orders: str, kills: int, in_doubt: list[UUID]) -> Verdict:
    with engine.connect() as conn:
        committed = conn.execute(sa.text(f"SELECT id FROM {orders} WHERE id = ANY(:ids)"), {"ids": in_doubt}).all()
        tasks = {f"{row.id}:1" for row in conn.execute(sa.text("SELECT id FROM task"))}
    with redis.Redis.from_url(redis_url) as client:
        messages = {message_id.decode() for message_id in client.hkeys(Names().messages("default"))}
    return Verdict(
        kills=kills,
        orders=scalar(engine, f"SELECT count(*) FROM {orders}"),
        in_doubt=len(in_doubt),
        in_doubt_committed=len(committed),
        lost=scalar(engine, _LOST.format(orders=orders)),
        phantom=scalar(engine, _PHANTOM.format(orders=orders)),
        unpublished=len(tasks - messages),
        published_for_nothing=len(messages - tasks),
    )
