"""Callers at a steady rate, ordinary and hostile. A slow answer does not slow them down."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

SHORT_SECONDS, LONG_SECONDS = 0.02, 2.0
PER_SECOND = 8.0
_EVERY_NTH_IS_LONG = 8
_CALLERS = 32


@dataclass(slots=True)
class Ordinary:
    """The ordinary tasks of one phase."""

    submitted: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By id: when its caller wanted to submit it (seconds since the epoch), and how long it takes."""
    refused: list[str] = field(default_factory=list)
    slowest_answer: float = 0.0

    def submit(self, http: httpx.Client, number: int) -> None:
        wanted_at = time.time()
        seconds = LONG_SECONDS if number % _EVERY_NTH_IS_LONG == 0 else SHORT_SECONDS
        body: dict[str, Any] = {"name": "tests.effect", "params": {"seconds": seconds}, "max_attempts": 1}
        try:
            answer = http.post("/tasks", json=body)
        except httpx.HTTPError as error:
            self.refused.append(repr(error))
            return
        self.slowest_answer = max(self.slowest_answer, time.time() - wanted_at)
        if answer.status_code == 202:
            self.submitted[answer.json()["id"]] = (wanted_at, seconds)
        else:
            self.refused.append(answer.text)


@dataclass(slots=True)
class Sent:
    """What a hostile caller was told."""

    accepted: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    """By status."""

    def send(self, http: httpx.Client, path: str, body: bytes) -> None:
        try:
            answer = http.post(path, content=body, headers={"Content-Type": "application/json"})
        except httpx.HTTPError:
            self.answers["none"] += 1
            return
        self.answers[str(answer.status_code)] += 1
        if answer.status_code == 202:
            said = answer.json()
            self.accepted += [item["id"] for item in said.get("items", [said])]


@contextmanager
def steadily(call: Callable[[int], None], per_second: float) -> Iterator[None]:
    """Calls in threads until the block ends, and waits for the last."""
    ended = threading.Event()
    room = threading.Semaphore(_CALLERS)

    def run(threads: ThreadPoolExecutor) -> None:
        number = 0
        began = time.monotonic()
        while not ended.wait(max(0.0, began + number / per_second - time.monotonic())):
            room.acquire()
            threads.submit(call, number).add_done_callback(lambda _: room.release())
            number += 1

    with ThreadPoolExecutor(_CALLERS) as threads:
        clock = threading.Thread(target=run, args=[threads])
        clock.start()
        try:
            yield
        finally:
            ended.set()
            clock.join()
