"""`taskyard-worker drain`, `restart` and `pool`: what is asked of running workers, through the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from taskyard.backoff import Backoff
from taskyard.commands import FAILED, USAGE, AsJson, LogLevel, command_engine, fail
from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.processes import ProcessRange
from taskyard.store.beats import LIVING_CHILDREN

from .inspect_cli import PROGRAM, prepared, print_rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from taskyard.lifecycle.committed import Committed

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Every living worker of this name, or the one with this id.")
]
All = Annotated[bool, typer.Option("--all", help="Every living worker.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until it is done; exits with 1 where it cannot be.")]
Patience = Annotated[float, typer.Option("--seconds", min=0, help="With --wait: at most so long.")]

_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 5.0
# A look that takes longer says nothing of the age of heartbeats.
_PROMPT_SECONDS = 1.0
_LIVING = """
SELECT id FROM worker
WHERE lost_at IS NULL AND stopped_at IS NULL AND beat_at > now() - CAST(:lease AS interval)
    AND (CAST(:name AS text) IS NULL OR name = :name OR CAST(id AS text) = lower(:name))
"""
_ASKED = f"""
SELECT id, name AS worker, {LIVING_CHILDREN} AS processes, processes AS processes_most,
    drain_asked_at, restart_asked_at, processes_asked, children, stopped_at, lost_at,
    CASE WHEN lost_at IS NOT NULL OR stopped_at IS NULL AND beat_at <= now() - CAST(:lease AS interval) THEN 'lost'
        ELSE state END AS state
FROM worker w WHERE id = ANY(:ids) ORDER BY name, id
"""  # noqa: S608 constants only
_COLUMNS = ["worker", "id", "state", "processes", "processes_most"]

Row = dict[str, Any]
Verb = Callable[..., "Committed[list[UUID]]"]


def drain(
    worker: Name = None,
    everyone: All = False,
    wait: Wait = False,
    seconds: Patience = 3600.0,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Have workers take no more tasks, finish what they run, and stop with exit code 0, however long their tasks take.

    Where a host starts again what has stopped, as compose and Kubernetes do, fresh workers follow.

    Examples:

      taskyard-worker drain mail@production

      taskyard-worker drain --all --wait
    """
    from taskyard.lifecycle import control

    wish = _Wish(control.drain, lambda row: row["state"] == "stopped", in_vain={"lost"})
    _ask(wish, worker, everyone, seconds if wait else None, as_json, log_level)


def restart(
    worker: Name = None,
    everyone: All = False,
    wait: Wait = False,
    seconds: Patience = 3600.0,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Have workers replace their child processes, one after the other: each works on until its successor is ready, and
    finishes what it has. They bring the task code that is installed by then.

    Examples:

      taskyard-worker restart geo-1

      taskyard-worker restart --all --wait --seconds 600
    """
    from taskyard.lifecycle import control

    wish = _Wish(control.restart, lambda row: row["restart_asked_at"] is None)
    _ask(wish, worker, everyone, seconds if wait else None, as_json, log_level)


def pool(
    worker: Name = None,
    processes: Annotated[str | None, typer.Argument(metavar="N|MIN:MAX", help="MIN:MAX: as many as have work.")] = None,
    everyone: All = False,
    wait: Wait = False,
    seconds: Patience = 3600.0,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Have workers keep another number of child processes, until they end: the next ones begin as they are configured.
    Processes that are too many finish what they have.

    Examples:

      taskyard-worker pool mail@production 4

      taskyard-worker pool --all 2:8 --wait
    """
    from taskyard.lifecycle import control

    if everyone and processes is None:
        worker, processes = None, worker
    if processes is None:
        fail(PROGRAM, "say how many: N or MIN:MAX.", USAGE)
    try:
        bounds = ProcessRange.parse(processes)
    except ValueError as e:
        fail(PROGRAM, f"the number of processes {e}.", USAGE)
    wish = _Wish(partial(control.resize, processes=bounds), partial(_keeps, bounds))
    _ask(wish, worker, everyone, seconds if wait else None, as_json, log_level)


def _keeps(bounds: ProcessRange, row: Row) -> bool:
    ordinary = [child["state"] for child in row["children"] if child["state"] != "quarantine"]
    fits = bounds.minimum <= ordinary.count("running") and len(ordinary) <= bounds.maximum
    return row["processes_asked"] is None and fits


@dataclass(frozen=True, slots=True)
class _Wish:
    """`verb` asks for it; `is_done` tells by a worker's row. It is not done any more in the states `in_vain`."""

    verb: Verb
    is_done: Callable[[Row], bool]
    in_vain: Collection[str] = frozenset({"draining", "stopped", "lost"})


def _ask(
    wish: _Wish, name: str | None, everyone: bool, wait_seconds: float | None, as_json: bool, log_level: str | None
) -> None:
    """Exits with 1 where not all could be asked, or have not done it within `wait_seconds` (None: it does not wait)."""
    from taskyard.broker.names import Names
    from taskyard.broker.publisher import make_publisher
    from taskyard.lifecycle.committed import commit
    from taskyard.lifecycle.dispatch import Immediate
    from taskyard.store import ledger
    from taskyard.store.audit import actor_here

    if (name is None) is not everyone:
        fail(PROGRAM, "say which: the name or id of a worker, or --all.", USAGE)
    settings = prepared(log_level)
    lease = settings.worker_lease
    publisher = make_publisher(settings.redis_url.get_secret_value(), Names(settings.namespace))
    with command_engine(PROGRAM, settings) as engine:
        ids = ledger.run(engine, partial(_living, name=name, lease=lease))
        if not ids:
            called = "" if name is None else f" of the name or id {name}"
            fail(PROGRAM, f"there is no living worker{called}.", FAILED)
        verb = partial(wish.verb, ids=ids, by=actor_here(), lease=lease)
        # Where Redis is away, the workers learn of it with their next heartbeats.
        asked = commit(partial(ledger.run_transaction, engine), verb, Immediate(engine, publisher))
        look = partial(ledger.run, engine, partial(_look, ids=ids, lease=lease))
        rows = _wait(wish, look, wait_seconds, lease) if asked and wait_seconds is not None else look()
    print_rows(_COLUMNS, rows, as_json)
    if unasked := [row for row in rows if row["id"] not in asked]:
        fail(PROGRAM, f"not asked, because it drains or has ended: {_named(unasked)}.", FAILED)
    if wait_seconds is not None and (undone := [row for row in rows if not wish.is_done(row)]):
        fail(PROGRAM, f"not done: {_named(undone)}.", FAILED)


def _named(rows: Sequence[Row]) -> str:
    return ", ".join(f"{row['worker']} ({row['state']})" for row in rows)


def _wait(wish: _Wish, look: Callable[[], list[Row]], seconds: float, lease: timedelta) -> list[Row]:
    """Goes on while PostgreSQL is away; raises LedgerUnavailable where it still is after `seconds`."""
    deadline = time.monotonic() + seconds
    backoff = Backoff(_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
    silent = _Silent(lease.total_seconds())
    while True:
        pause, began = _PAUSE_SECONDS, time.monotonic()
        try:
            rows = _bounded(look, max(_PROMPT_SECONDS, deadline - began))
        except LedgerUnavailable:
            silent.forget()
            if time.monotonic() >= deadline:
                raise
            pause = backoff.next()
        else:
            backoff.reset()
            lost = silent.for_long(rows, is_prompt=time.monotonic() - began < _PROMPT_SECONDS)
            undone = [row for row in rows if not wish.is_done(row)]
            in_vain = [row for row in undone if row["state"] in wish.in_vain]
            is_over = in_vain == undone and all(row["state"] != "lost" or row["id"] in lost for row in undone)
            if is_over or time.monotonic() >= deadline:
                return rows
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))


class _Silent:
    """Which workers are lost: the leader says so, or their heartbeats have been overdue for a lease in which PostgreSQL
    answered each look promptly. While it does not, all heartbeats grow old, and no worker is lost for that.
    """

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._since: dict[UUID, float] = {}

    def forget(self) -> None:
        self._since.clear()

    def for_long(self, rows: Sequence[Row], *, is_prompt: bool) -> set[UUID]:
        if not is_prompt:
            self.forget()
        now = time.monotonic()
        self._since = {row["id"]: self._since.get(row["id"], now) for row in rows if row["state"] == "lost"}
        lost = {row["id"] for row in rows if row["lost_at"] is not None}
        return lost | {id_ for id_, since in self._since.items() if now - since >= self._lease_seconds}


def _bounded(look: Callable[[], list[Row]], seconds: float) -> list[Row]:
    """What `look` answers. Raises LedgerUnavailable where it has not after `seconds`: its thread is left to itself, for
    this program ends then."""
    answer: Future[list[Row]] = Future()

    def ask() -> None:
        try:
            answer.set_result(look())
        except Exception as e:  # noqa: BLE001 - raised by who waits for the answer
            answer.set_exception(e)

    Thread(target=ask, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        raise LedgerUnavailable("PostgreSQL does not answer") from None


def _living(conn: Connection, name: str | None, lease: timedelta) -> list[UUID]:
    import sqlalchemy as sa

    return list(conn.scalars(sa.text(_LIVING), {"name": name, "lease": lease}))


def _look(conn: Connection, ids: Sequence[UUID], lease: timedelta) -> list[Row]:
    import sqlalchemy as sa

    return [dict(row) for row in conn.execute(sa.text(_ASKED), {"ids": ids, "lease": lease}).mappings()]
