"""Task types: what may be submitted, as workers have registered it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import Any

import falcon.asgi

from taskyard.catalogue.spec import TaskSpec
from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.store.task_types import listed

from .. import type_answers, views
from ..auth import Caller, Scope
from ..known_types import KnownTypes
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..requests import Request

_OF_SPEC = (
    "name",
    "kit",
    "queue",
    "description",
    "version",
    "params",
    "result",
    "soft_timeout_seconds",
    "hard_timeout_seconds",
    "errors",
)


class TaskTypes:
    def __init__(self, ledger: LedgerPool, types: KnownTypes, *, lease: timedelta) -> None:
        self._ledger = ledger
        self._types = types
        self._lease = lease

    @Operation(
        summary="All task types with their versions, schemas, the words of their errors, and the workers that run them",
        scope=Scope.READ,
        answers={200: Answer(description="The types, by name.", model=type_answers.TaskTypePage)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        # A type may be submitted to any queue, so every key sees all types.
        views.send(resp, 200, {"items": await self.shown(req.context.caller), "next_cursor": None})

    async def shown(self, caller: Caller, name: str | None = None) -> list[dict[str, Any]]:
        """The types that may be submitted, or the one of this name; of their workers and of those workers' queues, what
        the caller may see."""
        rows = await self._ledger.run(partial(listed, lease=self._lease, name=name))
        current = [row for row in rows if row["retired_at"] is None]
        specs = await self._types.specs_of({row["digest"] for row in current})
        # What is no spec is left out: any account of a worker can write it.
        usable = [row for row in current if _is_of(row, specs.get(row["digest"]))]
        return [
            _shown(list(versions), self._version(name_), specs, caller)
            for name_, versions in groupby(usable, key=lambda row: str(row["name"]))
        ]

    def _version(self, name: str) -> int | None:
        spec = self._types.registry.admitting(name)
        return None if spec is None else spec.version


class OneTaskType:
    def __init__(self, types: TaskTypes) -> None:
        self._types = types

    @Operation(
        summary="A task type with its versions, schemas, the words of its errors, and the workers that run it",
        scope=Scope.READ,
        answers={200: Answer(description="The type.", model=type_answers.TaskTypeShown)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, name: str) -> None:
        found = await self._types.shown(req.context.caller, name) if "\x00" not in name else []
        if not found:
            raise NotFound(message("There is no such task type."))
        views.send(resp, 200, found[0])


def _is_of(row: Mapping[str, Any], spec: TaskSpec | None) -> bool:
    return spec is not None and (spec.name, spec.version) == (row["name"], row["version"])


def _shown(
    rows: Sequence[Mapping[str, Any]], admitting: int | None, specs: Mapping[str, TaskSpec], caller: Caller
) -> dict[str, Any]:
    chosen = _chosen(rows, admitting)
    spec = specs[chosen["digest"]].as_json()
    shown = {name: spec[name] for name in _OF_SPEC}
    shown["retry"] = {name: spec["retry"][name] for name in type_answers.RetryRules.model_fields}
    shown["versions"] = [
        {
            "version": row["version"],
            "admits": row is chosen,
            "registered_at": row["registered_at"],
            "changed_at": row["changed_at"],
            "workers": [
                {**worker, "queues": queues}
                for worker in row["workers"]
                if (queues := [queue for queue in worker["queues"] if caller.sees(queue)])
            ],
        }
        for row in rows
    ]
    return shown


def _chosen(rows: Iterable[Mapping[str, Any]], admitting: int | None) -> Mapping[str, Any]:
    """The version that admits. Rows may be newer than the snapshot that admission uses, which then follows them."""
    return max(rows, key=lambda row: (row["version"] == admitting, bool(row["workers"]), row["version"]))
