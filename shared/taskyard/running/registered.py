"""Task types and queues as the ledger knows them, for tasks that submit what their own process does not have."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, Engine

from ..catalogue.registry import TypeRegistry
from ..catalogue.spec import TaskSpec
from ..store import fleet, ledger, task_types

KNOWN_SECONDS = 5.0
AGAIN_SECONDS = 1.0
_MAX_NAMES = 1_000
_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class _Kept:
    registry: TypeRegistry
    specs: Mapping[str, TaskSpec]
    read_at: float


class Registered:
    """A name that is found counts for 5 s; for names and queues that are not, PostgreSQL is asked once a second at
    most. One type is read at a time: a coroutine waits for it, and compiling them all takes seconds.

    All methods raise LedgerUnavailable where a look is due and PostgreSQL is away.
    """

    def __init__(self, engine: Engine, *, lease: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._lease = lease
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._names: list[str] = []
        self._names_at = _NEVER
        self._queues: set[str] = set()
        self._queues_at = _NEVER

    def of(self, name: str, *, seconds: float = KNOWN_SECONDS) -> TypeRegistry:
        """The versions of one type, read at most `seconds` ago; none where it is not registered."""
        with self._lock:
            now, kept = self._clock(), self._kept.get(name)
            if kept is not None and now - kept.read_at < seconds:
                return kept.registry
            if kept is None and now - self._names_at < AGAIN_SECONDS and name not in self._names:
                return TypeRegistry()
            return self._look(name, kept, now)

    def names(self) -> list[str]:
        """All names, as they were when one was not found."""
        return self._names

    def has_queue(self, name: str) -> bool:
        with self._lock:
            now = self._clock()
            if name not in self._queues and now - self._queues_at >= AGAIN_SECONDS:
                self._queues, self._queues_at = ledger.run(self._engine, fleet.queue_names), now
            return name in self._queues

    def _look(self, name: str, kept: _Kept | None, now: float) -> TypeRegistry:
        def read(conn: Connection) -> tuple[task_types.Snapshot, list[str] | None]:
            known = {} if kept is None else kept.specs
            found = task_types.read(conn, lease=self._lease, known=known, name=name)
            return found, None if found.specs else task_types.names(conn)

        found, names = ledger.run(self._engine, read)
        registry = TypeRegistry.compile(
            found.specs.values(), found.live, before=None if kept is None else kept.registry
        )
        if names is not None:
            self._names, self._names_at = names, now
            self._kept.pop(name, None)
            return registry
        if len(self._kept) >= _MAX_NAMES:
            self._kept.clear()
        self._kept[name] = _Kept(registry, found.specs, now)
        return registry
