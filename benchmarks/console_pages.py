"""The pages that the benchmark of the console asks for: each route that answers GET, with the filters of people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from benchmarks.console_ledger import Filled
from taskyard_console.routes import page_routes
from tests.integration.store.seeding import COMMON_TAG, NAMES, RARE_CODE, RARE_NAME, RARE_TAG

# What asks the API for nothing, or leads on to another page.
WITHOUT = frozenset({"/workflows/new", "/tasks/find", "/workers/by-name/{name}"})
_WINDOWS = ("window=hour", "window=day", "window=month")
_WHERE = f"name={NAMES[0]}&queue=default"
_TASKS = (
    *("", "limit=200", "state=failed", "state=queued&queue=default", f"name={NAMES[0]}", f"{_WHERE}&state=failed"),
    *(f"tag={COMMON_TAG}", f"tag={RARE_TAG}", f"tag={RARE_TAG}&state=failed", f"name={RARE_NAME}&state=running"),
    *("within=hour", "within=week&state=failed", "order=running_longest", "order=waiting_longest"),
    *("created_before=2020-01-01T00:00", "queue=selection", "queue=tenant-1", "name=nothing.so"),
)
_LETTERS = ("", "limit=200", _WHERE, f"code={RARE_CODE}", f"name={RARE_NAME}&code={RARE_CODE}", "discarded=yes")
_QUERIES: Mapping[str, Sequence[str]] = {
    "/": _WINDOWS,
    "/tasks": _TASKS,
    "/tasks/download": (f"format=csv&name={RARE_NAME}&state=failed", f"format=jsonl&name={RARE_NAME}&state=failed"),
    "/dead-letters": _LETTERS,
    "/dead-letters/download": (f"format=csv&name={RARE_NAME}",),
    "/operations/new": (
        *("action=retry", f"action=retry&name={RARE_NAME}&code={RARE_CODE}", "action=discard&queue=default"),
        *("action=cancel", "action=cancel&state=queued&queue=default", f"action=cancel&tag={RARE_TAG}"),
    ),
    "/task-types": (*_WINDOWS, "order=failures&queue=default"),
    "/task-types/{name}": _WINDOWS,
    "/errors": (*_WINDOWS, "state=returned", "state=solved", f"name={NAMES[0]}", "code=smtp_refused", "queue=default"),
    "/errors/{group_id}": _WINDOWS,
    "/queues/{name}": _WINDOWS,
    "/workers/{worker_id}": ("window=hour", "window=day"),
    "/crashes": ("", f"name={NAMES[0]}", "queue=selection", "worker=nobody"),
    "/audit": ("", "actor=rare", "action=key.revoke", "actor=ci&action=task.retry", "before=2020-01-01T00:00"),
    "/schedules": ("", "enabled=false", "task_name=diagnostics.echo", "name=load-7"),
    "/workflows": ("", "state=failed", "state=running&name=load-7", "name=nothing"),
}


@dataclass(frozen=True)
class Address:
    """`path` asks for a page of the route `page`; `said` tells it from the page's others."""

    page: str
    path: str
    said: str


def addresses(filled: Filled) -> Iterator[Address]:
    """Raises ValueError for a route that has no values here: what is not measured gets slow."""
    for page, resource in page_routes(cast("Any", None), "").items():
        if hasattr(resource, "on_get") and page not in WITHOUT:
            for said, path in _paths(page, filled):
                for query in _QUERIES.get(page, ("",)):
                    yield Address(page, f"{path}?{query}" if query else path, said or query)


def _paths(page: str, filled: Filled) -> Iterator[tuple[str, str]]:
    """Of a page of one thing; that of a task in each state."""
    if page == "/tasks/{task_id}":
        yield from ((state, f"/tasks/{task_id}") for state, task_id in filled.tasks.items())
        return
    known = {
        "task_id": filled.operation if page.startswith("/operations") else filled.tasks["failed"],
        "group_id": filled.error,
        "worker_id": filled.worker,
        "schedule_id": filled.schedule,
        "workflow_id": filled.workflow,
        "name": "default" if page.startswith("/queues") else NAMES[0],
    }
    try:
        yield "", page.format(**known)
    except KeyError as e:
        raise ValueError(f"{page}: benchmarks/console_pages.py has no value for {e}") from None
