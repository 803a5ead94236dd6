"""Queues and workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import falcon.asgi
from sqlalchemy import Connection, RowMapping

from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.domain.tasks import LIVE, State
from taskyard.lifecycle import queues
from taskyard.lifecycle.committed import Committed
from taskyard.store import fleet

from .. import queue_answers, views, worker_answers
from ..auth import Caller, Scope
from ..bodies import Bodies, validated
from ..change_models import QueueBody
from ..ledger_pool import LedgerPool
from ..models import WorkersQuery
from ..operations import Answer, Operation
from ..parameters import id_in_path, next_cursor, query_of, read_cursor
from ..queue_answers import QueuePage, QueueShown, ToldQueue
from ..requests import Request

RATE_WINDOW = timedelta(minutes=5)


class Queues:
    def __init__(self, ledger: LedgerPool, *, lease: timedelta) -> None:
        self.ledger = ledger
        self._lease = lease

    async def find(self, caller: Caller, name: str | None = None) -> list[dict[str, Any]]:
        if name is not None and (not caller.sees(name) or "\x00" in name):
            return []
        names = caller.queues if name is None else {name}
        rows = await self.ledger.run(
            lambda conn: fleet.queues(conn, names=names, lease=self._lease, window=RATE_WINDOW)
        )
        return [_queue(row) for row in rows]

    async def one(self, caller: Caller, name: str) -> dict[str, Any]:
        """Raises NotFound."""
        found = await self.find(caller, name)
        if not found:
            raise NotFound(
                message(
                    "There is no such queue, or your key may not see it. GET /api/v1/queues lists those that you may "
                    "see; a queue exists once a worker serves it (`taskyard-worker run --queues`)."
                )
            )
        return found[0]

    async def change(self, caller: Caller, name: str, verb: Callable[[Connection], Committed[None]]) -> dict[str, Any]:
        """The queue after the change, as the caller is told of it. Raises NotFound."""
        await self.one(caller, name)
        await self.ledger.commit(verb)
        return views.told(caller, await self.one(caller, name), ToldQueue)

    @Operation(
        summary="All queues with their depths",
        scope=Scope.READ,
        answers={200: Answer(description="The queues, by name.", model=QueuePage)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        views.send(resp, 200, {"items": await self.find(req.context.caller), "next_cursor": None})


class OneQueue:
    def __init__(self, bodies: Bodies, queues: Queues) -> None:
        self._bodies = bodies
        self._queues = queues

    @Operation(
        summary="A queue with its depths",
        scope=Scope.READ,
        answers={200: Answer(description="The queue.", model=QueueShown)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, name: str) -> None:
        views.send(resp, 200, await self._queues.one(req.context.caller, name))

    @Operation(
        summary="Limit a queue, or remove its limits",
        description="They hold for all workers together, from the next task on.",
        scope=Scope.MANAGE,
        body=QueueBody,
        answers={200: Answer(description="The queue.", model=QueueShown, without_read=ToldQueue)},
        refusals=(404,),
    )
    async def on_patch(self, req: Request, resp: falcon.asgi.Response, name: str) -> None:
        given = validated(QueueBody, (await self._bodies.read(req)).value).model_dump(exclude_unset=True)
        limit = partial(queues.limit, name=name, given=given, by=req.actor())
        views.send(resp, 200, await self._queues.change(req.context.caller, name, limit))


class WaitingTypes:
    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    @Operation(
        summary="Which task types wait in a queue",
        description=f"Of the oldest {fleet.MOST_COUNTED:,} queued tasks, and how many of them wait for a limit.",
        scope=Scope.READ,
        answers={200: Answer(description="The types, by number of tasks.", model=queue_answers.WaitingTypes)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, name: str) -> None:
        await self._queues.one(req.context.caller, name)
        rows = await self._queues.ledger.run(partial(fleet.waiting_types, queue=name))
        counted = sum(row["tasks"] for row in rows)
        shown = {
            "queue": name,
            "counted": counted,
            "held": sum(row["held"] for row in rows),
            "has_more": counted >= fleet.MOST_COUNTED,
            "items": list(map(dict, rows)),
        }
        views.send(resp, 200, shown)


def _queue(row: Mapping[Any, Any]) -> dict[str, Any]:
    minutes = RATE_WINDOW / timedelta(minutes=1)
    # Final states are not counted, and 0 would be wrong.
    depth = {str(state): row["depth"].get(state, 0) for state in State if state in LIVE}
    return {
        "name": row["name"],
        "paused": row["paused_at"] is not None,
        "paused_at": row["paused_at"],
        "paused_by": row["paused_by"],
        "depth": depth,
        "counted_at": row["taken_at"],
        "oldest_waiting_at": row["oldest_at"],
        "workers": row["workers"],
        "rate": {
            "finished_per_minute": round(row["finished"] / minutes, 2),
            "failed_per_minute": round(row["failed"] / minutes, 2),
        },
        "concurrent": row["concurrent"],
        "per_second": row["per_second"],
    }


class Workers:
    def __init__(self, ledger: LedgerPool, *, lease: timedelta) -> None:
        self._ledger = ledger
        self._lease = lease

    async def find(
        self,
        caller: Caller,
        *,
        worker_id: UUID | None = None,
        before: UUID | None = None,
        limit: int = 200,
        **more: Any,
    ) -> list[dict[str, Any]]:
        """`more`: further conditions of `fleet.workers`."""

        def read(conn: Connection) -> list[dict[str, Any]]:
            where = {"queues": caller.queues, "worker_id": worker_id, "before": before, **more}
            return workers_shown(conn, fleet.workers(conn, lease=self._lease, limit=limit, **where), caller)

        return await self._ledger.run(read)

    async def details(self, caller: Caller, worker_id: UUID) -> dict[str, Any] | None:
        """A worker with the tasks that it runs."""

        def read(conn: Connection) -> dict[str, Any] | None:
            rows = fleet.workers(conn, lease=self._lease, queues=caller.queues, worker_id=worker_id)
            for worker in workers_shown(conn, rows, caller):
                tasks = fleet.tasks_that_run(conn, worker["running"], caller.queues)
                return {**worker, "tasks": list(map(dict, tasks))}
            return None

        return await self._ledger.run(read)

    @Operation(
        summary="Workers, those that stopped within the last hour too",
        scope=Scope.READ,
        query=WorkersQuery,
        answers={200: Answer(description="The workers, newest first.", model=worker_answers.WorkerPage)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query, caller = query_of(WorkersQuery, req), req.context.caller
        found: list[dict[str, Any]] = []
        if query.queue is None or caller.sees(query.queue):
            before = read_cursor(query.cursor)
            found = await self.find(caller, before=before, limit=query.limit + 1, **query.filters())
        cursor = next_cursor(found, query.limit)
        views.send(resp, 200, {"items": found[: query.limit], "next_cursor": cursor})


class OneWorker:
    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    @Operation(
        summary="A worker, and what it runs",
        scope=Scope.READ,
        answers={200: Answer(description="The worker.", model=worker_answers.WorkerDetails)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, worker_id: str) -> None:
        missing = message("There is no such worker.")
        found = await self._workers.details(req.context.caller, id_in_path(worker_id, missing))
        if found is None:
            raise NotFound(missing)
        views.send(resp, 200, found)


def workers_shown(conn: Connection, rows: Sequence[RowMapping], caller: Caller) -> list[dict[str, Any]]:
    """Each with those of its tasks and queues that the caller may see."""
    begun = [task_id for row in rows for task_id in row["begun"]]
    seen = set(begun) if caller.queues is None else fleet.those_in_queues(conn, begun, caller.queues)
    return [_worker(row, seen, caller) for row in rows]


def _worker(row: Mapping[Any, Any], seen: set[UUID], caller: Caller) -> dict[str, Any]:
    """A worker whose heartbeat is overdue is shown as lost at once."""
    running = [task_id for task_id in row["begun"] if task_id in seen]
    known = set(map(str, seen))
    children = [
        {**child, "running": [task_id for task_id in child.get("running", ()) if task_id in known]}
        for child in row["children"]
    ]
    state = row["state"]
    if not row["is_alive"] and state not in {"stopped", "lost"}:
        state = "lost"
    shown = {
        "state": state,
        "queues": [queue for queue in row["queues"] if caller.sees(queue)],
        "children": children,
        "running_tasks": len(running),
        "running": running,
        "last_beat_at": row["beat_at"],
        "attempts": row["attempts"] if all(map(caller.sees, row["queues"])) else None,
    }
    return {name: shown[name] if name in shown else row[name] for name in worker_answers.WorkerShown.model_fields}
