"""Statistics over time: attempts by outcome, run time and wait; depths of queues; memory and load of workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import falcon.asgi

from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.domain.statistics import Window, added, percentile
from taskyard.store import statistics

from .. import statistics_models as models
from .. import views
from ..auth import Scope
from ..ledger_pool import LedgerPool, Share
from ..operations import Answer, Operation
from ..parameters import id_in_path, query_of
from ..requests import Request
from .fleet import Queues, Workers

MAX_WAITING = 64
_COUNTS = ("succeeded", "failed", "retried", "crashed", "cancelled")
_SUMS = (*_COUNTS, "run_seconds", "wait_seconds")


class Statistics:
    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger
        # A month of hundreds of types takes a second of PostgreSQL.
        self._share = Share(2, calls=MAX_WAITING, refusal=message("Too many analyses wait."))

    @Operation(
        summary="Attempts over time: counts by outcome, run time and wait, by task type, and error codes",
        description="Counted by the scheduler, within seconds. Percentiles are estimates out of logarithmic buckets.",
        scope=Scope.READ,
        query=models.StatisticsQuery,
        answers={200: Answer(description="The points of the window, and its totals.", model=models.StatisticsShown)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query, caller = query_of(models.StatisticsQuery, req), req.context.caller
        read = partial(
            statistics.of_attempts, window=query.window, queues=caller.queues, queue=query.queue, name=query.name
        )
        async with self._share.turn():
            row = await self._ledger.run(read)
        found = {datetime.fromtimestamp(point["at"], UTC): point for point in row["points"]}
        begins = statistics.begins(row["since"], query.window)
        types = sorted(row["types"], key=lambda one: (-sum(one[name] for name in _COUNTS), one["name"]))
        shown = {
            **series(row, query.window),
            "points": [{"at": at, **_counts([found[at]] if at in found else [])} for at in begins],
            "totals": _counts(row["points"]),
            "types": [{"name": one["name"], **_counts([one]), "failed_share": _failed_share(one)} for one in types],
            "errors": row["codes"],
        }
        views.send(resp, 200, shown)


class QueueHistory:
    def __init__(self, ledger: LedgerPool, queues: Queues) -> None:
        self._ledger = ledger
        self._queues = queues

    @Operation(
        summary="The depth of a queue over time, by state",
        description="Sampled once a minute. A task that comes and goes within a minute may be in no sample.",
        scope=Scope.READ,
        query=models.WindowQuery,
        answers={200: Answer(description="The points of the window.", model=models.QueueHistory)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, name: str) -> None:
        window = query_of(models.WindowQuery, req).window
        queue = (await self._queues.one(req.context.caller, name))["name"]
        rows = await self._ledger.run(lambda conn: statistics.of_queue(conn, queue, window))
        depths: dict[datetime, dict[str, Any]] = {at: {} for at in statistics.begins(rows[0]["since"], window)}
        for row in rows:
            if row["at"] in depths:
                depths[row["at"]][row["state"]] = {"average": round(row["average"], 2), "most": row["most"]}
        points = [{"at": at, "depth": depth} for at, depth in depths.items()]
        views.send(resp, 200, {"queue": queue, **series(rows[0], window), "points": points})


class WorkerHistory:
    def __init__(self, ledger: LedgerPool, workers: Workers) -> None:
        self._ledger = ledger
        self._workers = workers

    @Operation(
        summary="Memory and running tasks of a worker over time",
        description="Sampled once a minute, and kept for two days.",
        scope=Scope.READ,
        query=models.WindowQuery,
        answers={200: Answer(description="The points of the window.", model=models.WorkerHistory)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, worker_id: str) -> None:
        window = query_of(models.WindowQuery, req).window
        missing = message("There is no such worker.")
        wanted = id_in_path(worker_id, missing)
        if not await self._workers.find(req.context.caller, worker_id=wanted):
            raise NotFound(missing)
        rows = await self._ledger.run(lambda conn: statistics.of_worker(conn, wanted, window))
        found = {row["point"]: row for row in rows}
        points = [{"at": at, **_load(found.get(at))} for at in statistics.begins(rows[0]["since"], window)]
        views.send(resp, 200, {"worker_id": wanted, **series(rows[0], window), "points": points})


def series(row: Mapping[Any, Any], window: Window) -> dict[str, Any]:
    step = int(window.step.total_seconds())
    return {"window": window, "step_seconds": step, "from": row["since"], "to": row["until"]}


def _load(row: Mapping[Any, Any] | None) -> dict[str, Any]:
    names = ("memory_bytes", "running", "most_running")
    return dict.fromkeys(names) if row is None else {name: row[name] for name in names}


def _counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of all rows together."""
    sums = {name: sum(row[name] for row in rows) for name in _SUMS}
    runs: list[int] = []
    waits: list[int] = []
    for row in rows:
        runs, waits = added(runs, row["runs"]), added(waits, row["waits"])
    times = {"run": _times(runs, sums["run_seconds"]), "wait": _times(waits, sums["wait_seconds"])}
    return {**{name: sums[name] for name in _COUNTS}, **times}


def _times(buckets: Sequence[int], seconds: float) -> dict[str, float | None]:
    count = sum(buckets)
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {
        "mean": _rounded(seconds / count if count else None),
        **{name: _rounded(percentile(buckets, share)) for name, share in shares.items()},
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _failed_share(row: Mapping[str, Any]) -> float | None:
    ended = row["succeeded"] + row["failed"]
    return round(row["failed"] / ended, 4) if ended else None
