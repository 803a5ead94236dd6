"""The living children. The main thread adds and removes them; the recorder and the listener read their slot tables."""

from __future__ import annotations

import os
import threading
from collections import Counter as Count
from collections.abc import Collection, Iterator
from typing import Any
from uuid import UUID

from taskyard.lifecycle.assertion import Assertion
from taskyard.lifecycle.workers import Beat

from ..memory import resident_bytes, used_together
from ..programs import started_by
from ..slots import Phase
from .handle import Handle


class Children:
    """Iterated over and changed by the main thread only; the other methods may be called from any thread."""

    def __init__(self) -> None:
        self._by_pid: dict[int, Handle] = {}
        self._past: Count[str] = Count()  # attempts that ended in children that are no more, by their outcome
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Handle]:
        """Over a copy: children may end meanwhile."""
        return iter(list(self._by_pid.values()))

    def __len__(self) -> int:
        return len(self._by_pid)

    def add(self, child: Handle) -> None:
        with self._lock:
            self._by_pid[child.pid] = child

    def remove(self, child: Handle) -> None:
        """Before its slot table is closed: other threads read it under the lock."""
        with self._lock:
            del self._by_pid[child.pid]
            self._past.update(child.table.ends())

    def free_index(self) -> int:
        """The lowest index that no child has."""
        used = {child.index for child in self}
        return next(i for i in range(len(used) + 1) if i not in used)

    def beat(self, worker_id: UUID, state: str) -> Beat:
        """The content of a heartbeat; `attempts` without those whose end the supervisor records."""
        with self._lock:
            children: list[dict[str, Any]] = [
                {
                    "index": child.index,
                    "pid": child.pid,
                    "state": child.state,
                    "memory_bytes": resident_bytes(child.pid),
                    "runs": child.table.header().runs,
                    "why_spawned": child.why_spawned,
                    "running": [e.task_id for e in child.table.entries() if e.phase is Phase.BEGUN],
                }
                for child in self
            ]
            attempts = self._past.copy()
            for child in self:
                attempts.update(child.table.ends())
        return Beat(
            worker_id=worker_id,
            state=state,
            memory_bytes=used_together([os.getpid(), *started_by(os.getpid())]),
            children=children,
            begun=[task_id for child in children for task_id in child["running"]],
            attempts=attempts,
            load_average=_load_average(),
        )

    def claims(self, worker: str) -> list[Assertion]:
        """Every claim that a child holds, in the name of this worker; `attempt` is 0 until the claim is won."""
        with self._lock:
            return [
                Assertion(entry.task_id, entry.claim, entry.attempt, f"{worker}:{child.index}")
                for child in self
                for entry in child.table.entries()
            ]

    def hold_any(self, task_ids: Collection[str]) -> bool:
        """Whether a child has one of these tasks."""
        return not {str(claim.task_id) for claim in self.claims("")}.isdisjoint(task_ids)


def _load_average() -> list[float]:
    """Of the host, over the last 1, 5 and 15 minutes; empty where the system does not say."""
    try:
        return list(os.getloadavg())
    except OSError:
        return []
