"""One workflow: its graph, what failed, what waits for what, and each step with its task."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

import falcon
import falcon.asgi

from taskyard_client.models import Task, Workflow, WorkflowStep

from .. import graph
from ..access import MANAGE
from ..page import Page
from ..parts import Part, part
from ..rendering import Rendering
from ..steps import row_of
from ..visits import Visit
from .task_ids import task_id_of as id_of

# What the API gives in one page; so many pages are drawn together, and a longer workflow is read on from there.
_STEPS, _PAGES = 200, 3
_NEEDS = _STEPS * _PAGES
_ROWS = 50
_FAILED, _EVENTS = 10, 50
_RETRIED = frozenset({"failed", "cancelled"})
_NOTHING: Part[Any] = Part()


@dataclass(frozen=True)
class OneWorkflow(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, workflow_id: str) -> None:
        visit: Visit = req.context.visit
        wanted, api = id_of(workflow_id), visit.api
        chosen = id_of(text) if (text := req.get_param("step")) else None
        (workflow, steps, next_cursor), failed, timeline, task = await asyncio.gather(
            _read(visit, wanted, req.get_param("cursor") or None),
            part(api.workflows.get(wanted, limit=_FAILED, state="failed")),
            part(api.workflows.timeline(wanted, limit=_EVENTS, cursor=req.get_param("after") or None)),
            part(api.task(chosen)) if chosen else _nothing(),
        )
        begin = min(max(0, req.get_param_as_int("from", default=0)), max(0, len(steps) - 1))
        by_name = {one.name: one for one in steps}
        step = next((one for one in steps if one.task_id == chosen), None)
        self.rendering.show(
            resp,
            visit,
            "workflow.html",
            workflow=workflow,
            steps=[row_of(one, by_name) for one in steps[begin : begin + _ROWS]],
            begin=begin,
            end=min(begin + _ROWS, len(steps)),
            read=len(steps),
            rows=_ROWS,
            next_cursor=next_cursor,
            cursor=req.get_param("cursor") or "",
            graph=graph.drawn(steps),
            box={"width": graph.WIDTH, "height": graph.HEIGHT},
            is_long=len(steps) > _STEPS,
            by_name=by_name,
            failed=failed,
            timeline=timeline,
            is_longer=timeline.value is not None and len(timeline.value.items) == _EVENTS,
            task=task,
            step=step,
            chosen=None if step is None else row_of(step, by_name),
            taken=[] if task.value is None else sorted(_taken(task.value)),
            gives=[] if step is None else [one for one in steps if step.name in one.needs],
            can_cancel=not workflow.is_final and visit.may("manage"),
            can_retry=workflow.state in _RETRIED and visit.may("manage"),
            now=datetime.now(UTC),
        )


async def _nothing() -> Part[Any]:
    return _NOTHING


async def _read(visit: Visit, wanted: UUID, cursor: str | None) -> tuple[Workflow, list[WorkflowStep], str | None]:
    """The workflow, the steps that are drawn, and where the others begin."""
    workflow = found = await visit.api.workflows.get(wanted, limit=_STEPS, cursor=cursor, needs_limit=_NEEDS)
    steps = list(found.steps)
    for _ in range(_PAGES - 1):
        if found.next_cursor is None:
            break
        found = await visit.api.workflows.get(wanted, limit=_STEPS, cursor=found.next_cursor, needs_limit=_NEEDS)
        steps += found.steps
    return workflow, steps, found.next_cursor


def _taken(task: Task) -> set[str]:
    """The results that its parameters stand for, as they were written."""
    return set(_references(task.params))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(text := value.get("$result"), str):
            yield text
        else:
            for one in value.values():
                yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


@dataclass(frozen=True)
class _ChangeWorkflow(Page):
    """With what would change, before it does."""

    scope = MANAGE
    verb: ClassVar[str]

    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, workflow_id: str) -> None:
        visit: Visit = req.context.visit
        workflow = await visit.api.workflows.get(id_of(workflow_id), limit=1)
        at = workflow.progress
        count = at.total - (at.current if self.verb == "cancel" else at.succeeded)
        self.rendering.show(resp, visit, "workflow_change.html", workflow=workflow, verb=self.verb, count=count)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, workflow_id: str) -> None:
        visit: Visit = req.context.visit
        wanted = id_of(workflow_id)
        visit.say(resp, "done", await self.change(visit, wanted))
        visit.go(resp, f"/workflows/{wanted}")

    async def change(self, visit: Visit, wanted: UUID) -> str:
        """Returns what is to be said of it."""
        raise NotImplementedError


class CancelWorkflow(_ChangeWorkflow):
    verb = "cancel"

    async def change(self, visit: Visit, wanted: UUID) -> str:
        return (await visit.api.workflows.cancel(wanted)).message


class RetryWorkflow(_ChangeWorkflow):
    verb = "retry"

    async def change(self, visit: Visit, wanted: UUID) -> str:
        await visit.api.workflows.retry(wanted)
        return visit.words.gettext("What did not succeed runs again.")
