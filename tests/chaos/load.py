"""The load: tasks of all kinds, each of bounded length, submitted so that none can be submitted twice."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

CRASHED = ("failed", "crash_limit")  # what may become of any task that was there when processes were killed
_WELL = frozenset({("succeeded", None), CRASHED})
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Kind:
    """`weight` is its share of the load; `ends` are the final states, with error codes, that are right for it."""

    name: str
    weight: float
    body: Callable[[random.Random], dict[str, Any]]
    ends: frozenset[tuple[str, str | None]] = _WELL
    has_effect: bool = True
    is_cancelled: bool = False


def _effect(low: float, high: float, *, name: str = "tests.effect") -> Callable[[random.Random], dict[str, Any]]:
    return lambda rng: {"name": name, "params": {"seconds": rng.uniform(low, high)}}


KINDS = [
    Kind("short", 50, _effect(0.0, 0.1)),
    Kind("long", 10, _effect(1.0, 5.0)),
    Kind("delayed", 12, lambda rng: {"name": "tests.effect", "params": {}, "delay_seconds": rng.uniform(0.5, 10)}),
    Kind("stored", 8, lambda rng: {"name": "chaos.store"}),
    Kind("family", 5, lambda rng: {"name": "chaos.family"}),
    Kind("async", 6, _effect(0.1, 4.0, name="chaos.wait")),
    Kind("retried", 8, lambda rng: {"name": "diagnostics.fail", "params": {"times": 2}}, has_effect=False),
    Kind(
        "failing",
        3,
        lambda rng: {"name": "diagnostics.fail", "params": {"times": 99, "kind": "permanent"}},
        frozenset({("failed", "diagnostic_permanent"), CRASHED}),
        has_effect=False,
    ),
    Kind(
        "crashing",
        1,
        lambda rng: {
            "name": "diagnostics.crash",
            "params": {"signal": rng.choice(["SIGKILL", "SIGSEGV", "SIGABRT"]), "times": rng.choice([1, 1, 99])},
        },
        has_effect=False,
    ),
    Kind(
        "limited",
        1,
        lambda rng: {
            "name": "tests.stubborn",
            "params": {"seconds": 15, "holds_gil": rng.random() < 0.3},
            "soft_timeout_seconds": 1.0,
            "hard_timeout_seconds": 2.0,
            "max_attempts": 1,
        },
        frozenset({("failed", "hard_time_limit"), ("failed", "soft_time_limit"), CRASHED}),
    ),
    Kind(
        "cancelled",
        5,
        lambda rng: _effect(2.0, 6.0, name=rng.choice(["tests.effect", "chaos.wait"]))(rng),
        frozenset({*_WELL, ("cancelled", "cancelled"), ("cancelled", None)}),
        is_cancelled=True,
    ),
]


class Load:
    """Submits at a rate until it is told to stop. `accepted` are the ids that were answered with 202."""

    def __init__(self, url: str, headers: Mapping[str, str], *, per_second: float, rng: random.Random) -> None:
        self.accepted: dict[UUID, Kind] = {}
        self.unanswered = 0
        """Submits that nobody answered within two minutes."""
        self.refused: list[str] = []
        """Answers that nobody should get."""
        self.repeated = 0
        self.longest_pause = (0.0, 0.0)
        """The most seconds without an accepted submit, and when they began (after the start)."""
        self._http = httpx.Client(base_url=url, headers=headers, timeout=10.0)  # any thread may use it
        self._pause = 1 / per_second
        self._rng = rng
        self._lock = threading.Lock()
        self._began = self._accepted_at = time.monotonic()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._room = threading.Semaphore(32)  # callers at a time

    def start(self) -> None:
        self._threads.append(threading.Thread(target=self._run, name="load"))
        self._threads[0].start()

    def stop(self) -> None:
        """Returns when every caller has got an answer."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._http.close()

    def _run(self) -> None:
        weights = [kind.weight for kind in KINDS]
        while not self._ended.wait(self._rng.expovariate(1 / self._pause)):
            (kind,) = self._rng.choices(KINDS, weights)
            key = UUID(int=self._rng.getrandbits(128))
            self._room.acquire()
            caller = threading.Thread(
                target=self._call, args=[kind, kind.body(self._rng), str(key), self._rng.uniform(0, 3)]
            )
            self._threads.append(caller)
            caller.start()

    def _call(self, kind: Kind, body: dict[str, Any], key: str, patience: float) -> None:
        try:
            answer = self._post("/tasks", body, {"Idempotency-Key": key})
            if answer is None:
                self.unanswered += 1
                return
            if answer.status_code != 202:
                self.refused.append(answer.text)
                return
            task_id = UUID(answer.json()["id"])
            self._accept(task_id, kind)
            if kind.is_cancelled:
                time.sleep(patience)
                cancelled = self._post(f"/tasks/{task_id}/cancel", None, {})
                if cancelled is not None and cancelled.status_code not in {202, 409}:
                    self.refused.append(cancelled.text)
        finally:
            self._room.release()

    def _accept(self, task_id: UUID, kind: Kind) -> None:
        with self._lock:
            self.accepted[task_id] = kind
            now = time.monotonic()
            self.longest_pause = max(self.longest_pause, (now - self._accepted_at, self._accepted_at - self._began))
            self._accepted_at = now

    def _post(self, path: str, body: Any, headers: dict[str, str]) -> httpx.Response | None:
        """The answer, however long it takes to get one that says yes or no."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = self._http.post(path, json=body, headers=headers)
            except httpx.TransportError:
                pass
            else:
                # 409 with a key: its first sending is still under way.
                if answer.status_code not in {429, 503} and not (answer.status_code == 409 and headers):
                    return answer
            self.repeated += 1
            time.sleep(0.3)
        return None
