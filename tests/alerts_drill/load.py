"""Work for a stack: the ordinary kind, and what faults add to it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from tests.support.fleet import KEY, Fleet, repeating
from tests.support.schedules import make_schedule

HEAVY_QUEUE = "geo_processing"
_EVERY_SECONDS = 0.5
# One after the other. That some are retried once is ordinary, too.
_ORDINARY: tuple[dict[str, Any], ...] = (
    {"name": "diagnostics.echo", "params": {"value": 1}},
    {"name": "diagnostics.sleep", "params": {"seconds": 0.1}, "queue": "high_priority"},
    {"name": "drill.heavy", "queue": HEAVY_QUEUE},
    {"name": "diagnostics.echo", "params": {"value": [1, 2, 3]}, "queue": "low_priority"},
    {"name": "drill.report"},
    {"name": "diagnostics.sleep", "params": {"seconds": 0.2}},
    {"name": "diagnostics.fail", "params": {"times": 1}},
    {"name": "diagnostics.echo", "params": {"value": None}, "queue": "high_priority"},
)


@contextmanager
def ordinary_load(fleet: Fleet) -> Iterator[None]:
    make_schedule(fleet, "each half minute", trigger={"every_seconds": 30})
    bodies = itertools.cycle(_ORDINARY)
    with _calling(fleet) as http, repeating(lambda: _submit(http, next(bodies)), every=_EVERY_SECONDS):
        yield


@contextmanager
def more_tasks(fleet: Fleet, body: Mapping[str, Any], *, every: float) -> Iterator[None]:
    """The same task again and again, beside the ordinary load."""
    with _calling(fleet) as http, repeating(lambda: _submit(http, body), every=every):
        yield


@contextmanager
def _calling(fleet: Fleet) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=str(fleet.http.base_url), headers=headers, timeout=15.0) as http:
        yield http


def _submit(http: httpx.Client, body: Mapping[str, Any]) -> None:
    """Callers that are refused go on all the same: faults are seen in what the stack exports."""
    with suppress(httpx.HTTPError):
        http.post("/tasks", json=body)
