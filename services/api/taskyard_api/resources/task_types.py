"""Task types: what may be submitted."""

from __future__ import annotations

from typing import Any

import falcon.asgi

from taskyard.catalogue.types import Catalogue, TaskType
from taskyard.domain.errors import NotFound

from .. import answers, views
from ..auth import Scope
from ..operations import Answer, Operation
from ..requests import Request


def _shown(kind: TaskType[Any, Any]) -> dict[str, Any]:
    return {
        "name": kind.name,
        "queue": kind.queue,
        "description": kind.description,
        "version": kind.version,
        "params": kind.params.model_json_schema(),
        "result": kind.result.model_json_schema(mode="serialization"),
        "retry": {
            "max_attempts": kind.retry.max_attempts,
            "first_delay_seconds": kind.retry.first_delay.total_seconds(),
            "max_delay_seconds": kind.retry.max_delay.total_seconds(),
            "factor": kind.retry.factor,
            "jitter": kind.retry.jitter,
        },
        "soft_timeout_seconds": kind.soft_limit.total_seconds(),
        "hard_timeout_seconds": kind.hard_limit.total_seconds(),
        "errors": {code: {"words": dict(words)} for code, words in kind.errors.items()},
    }


class TaskTypes:
    def __init__(self, catalogue: Catalogue) -> None:
        # A type may be submitted to any queue, so every key sees all types.
        self.by_name = {name: _shown(catalogue[name]) for name in catalogue.names}

    @Operation(
        summary="All task types with their schemas and the words of their errors",
        scope=Scope.READ,
        answers={200: Answer(description="The types, by name.", model=answers.TaskTypePage)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        views.send(resp, 200, {"items": list(self.by_name.values()), "next_cursor": None})


class OneTaskType:
    def __init__(self, types: TaskTypes) -> None:
        self._types = types

    @Operation(
        summary="A task type with its schemas and the words of its errors",
        scope=Scope.READ,
        answers={200: Answer(description="The type.", model=answers.TaskTypeShown)},
        refusals=(404,),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, name: str) -> None:
        if name not in self._types.by_name:
            raise NotFound("There is no such task type.")
        views.send(resp, 200, self._types.by_name[name])
