"""Work for a stack: the ordinary kind, and what faults add to it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from tests.support.fleet import KEY, Fleet, repeating
from tests.support.schedules import make_schedule

HEAVY_QUEUE = "geo_processing"
_EVERY_SECONDS = 0.5
_CALLERS = 32
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
    with _submitted(fleet, itertools.cycle(_ORDINARY), every=_EVERY_SECONDS):
        yield


@contextmanager
def more_tasks(fleet: Fleet, body: Mapping[str, Any], *, every: float) -> Iterator[None]:
    """The same task again and again, beside the ordinary load."""
    with _submitted(fleet, itertools.repeat(body), every=every):
        yield


@contextmanager
def _submitted(fleet: Fleet, bodies: Iterator[Mapping[str, Any]], *, every: float) -> Iterator[None]:
    """One each `every` seconds, by as many callers at a time as that takes."""
    url, headers = str(fleet.http.base_url), {"Authorization": f"Bearer {KEY}"}
    room = threading.Semaphore(_CALLERS)
    with httpx.Client(base_url=url, headers=headers, timeout=15.0) as http, ThreadPoolExecutor(_CALLERS) as callers:

        def submit(body: Mapping[str, Any]) -> None:
            # Callers that are refused go on all the same: faults are seen in what the stack exports.
            with suppress(httpx.HTTPError):
                http.post("/tasks", json=body)
            room.release()

        def turn() -> None:
            if room.acquire(blocking=False):
                callers.submit(submit, next(bodies))

        with repeating(turn, every=every):
            yield
