"""Tasks with limits, and the turns in which a leader grants them."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.new_tasks import Limits
from taskyard.domain.tasks import Succeeded
from taskyard.lifecycle import (
    finish,
    limits,
    submit,
)
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.limits import Granting, Turn
from taskyard.store import ledger

from .rows import Worker, new, read


def limited(conn: Connection, count: int, key: str = "k", *, queue: str = "default", **limit: float) -> list[UUID]:
    """New tasks with this limit, 1 at a time by default."""
    given = Limits(key, **(limit or {"concurrent": 1}))  # type: ignore[arg-type]
    tasks = [new(limits=given, queue=queue) for _ in range(count)]
    return [made.id for made in submit.submit(conn, tasks).answer]


def plain(conn: Connection, count: int, queue: str = "default") -> list[UUID]:
    return [made.id for made in submit.submit(conn, [new(queue=queue) for _ in range(count)]).answer]


def set_queue(conn: Connection, queue: str = "default", **columns: Any) -> None:
    conn.execute(sa.text("INSERT INTO queue (name) VALUES (:q) ON CONFLICT DO NOTHING"), {"q": queue})
    table = sa.table("queue", sa.column("name"), *map(sa.column, columns))
    conn.execute(sa.update(table).where(table.c.name == queue).values(**columns))
    limits.changed(conn, queue)


def turn(engine: Engine, granting: Granting | None = None) -> list[UUID]:
    """The tasks that one turn of the leader publishes."""
    return [p.task_id for p in kept_turn(engine, granting or Granting()).publications]


def kept_turn(engine: Engine, granting: Granting) -> Committed[Turn]:
    done = ledger.run_transaction(engine, granting.turn)
    granting.kept()
    return done


def settle(engine: Engine, granting: Granting | None = None) -> list[UUID]:
    """What turns publish until one publishes nothing."""
    found: list[UUID] = []
    granting = granting or Granting()
    while some := turn(engine, granting):
        found += some
    return found


def stands(conn: Connection, ids: list[UUID]) -> Counter[str | None]:
    return Counter(read(conn, i).limited for i in ids)


def end(conn: Connection, worker: Worker, ids: list[UUID]) -> None:
    for won in worker.claim(ids):
        finish.finish(conn, [finish.Finished(won.id, won.claim, Succeeded(1), 0.1, is_limited=won.is_limited)])
