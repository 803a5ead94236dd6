"""The faults: each is done to a plant, lasts for some seconds at most, and is undone by who did it."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from taskyard.domain.errors import LedgerUnavailable

from .disk import SmallDisk
from .plant import LEASE_SECONDS, ROLES, Plant, kill, offspring

_SCHEDULERS, _WORKERS = ("scheduler-1", "scheduler-2"), ("worker-1", "worker-2")
_FOLLOWED_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Death:
    """A process that was killed while it ran these (task, attempt)."""

    fault: str
    at: datetime
    ran: list[tuple[UUID, int]]


@dataclass(slots=True)
class Journal:
    """What was done."""

    injected: Counter[str] = field(default_factory=Counter)
    deaths: list[Death] = field(default_factory=list)
    followed_seconds: list[float] = field(default_factory=list)
    """From a leader's death to the next one's lease."""


class Faults:
    """`menu` is what can be done here, by name."""

    def __init__(self, plant: Plant, disk: SmallDisk, rng: random.Random, say: Callable[[str], None]) -> None:
        self._plant = plant
        self._disk = disk
        self._rng = rng
        self._say = say
        self.journal = Journal()
        # By what they are done to: no two of a group at the same time.
        groups: dict[str, dict[str, Callable[[], None]]] = {
            "processes": {
                "kill -9 a child": self._kill_child,
                "kill -9 a worker": self._kill_worker,
                "kill -9 a scheduler": self._kill_scheduler,
                "kill -9 the API": lambda: self._kill("api"),
                "SIGTERM to a service": self._terminate,
                "stop a process for a moment": self._stop_briefly,
                "stop a worker past its lease": lambda: self._stop(self._rng.choice(_WORKERS), LEASE_SECONDS + 3),
                "stop a scheduler past its lease": lambda: self._stop(self._rng.choice(_SCHEDULERS), 5.0),
            },
            "redis": {
                "Redis: stop, start": self._restart_redis,
                "Redis: kill -9, start": self._crash_redis,
                "Redis: FLUSHALL": self._flush,
                "Redis: full": self._fill_redis,
                "Redis: slow": lambda: self._slow_redis(self._rng.uniform(0.05, 0.7)),
                "Redis: connections cut": plant.to_redis.cut,
                "Redis: silent": self._stall_redis,
            },
            "postgres": {
                "PostgreSQL: restart": lambda: self._restart_postgres(crash=False),
                "PostgreSQL: crash, start": lambda: self._restart_postgres(crash=True),
                "PostgreSQL: connections cut": plant.to_postgres.cut,
                "PostgreSQL: silent": self._stall_postgres,
            },
            "storage": {"storage: disk full": self._fill_disk} if disk.is_mounted else {},
        }
        self.menu = {name: do for group in groups.values() for name, do in group.items()}
        self._locks = {name: lock for group in groups.values() for lock in [threading.Lock()] for name in group}

    def inject(self, until: float) -> None:
        """First each fault once, in any order, then any until that moment (monotonic); some at the same time.
        Returns when the last is undone."""
        names = list(self.menu)
        order = self._rng.sample(names, len(names))
        with ThreadPoolExecutor(3) as threads:
            under_way: list[Future[None]] = []
            while order or time.monotonic() < until:
                # What happens most often in the world happens most often here.
                name = order.pop() if order else self._rng.choice([*names, *["kill -9 a child"] * 4])
                if self._locks[name].acquire(blocking=False):
                    under_way.append(threads.submit(self._do, name))
                elif name not in self.journal.injected:
                    order.insert(0, name)
                pause = self._rng.uniform(0.3, 4.0)
                time.sleep(pause if order else min(pause, max(0.0, until - time.monotonic())))
            for one in under_way:
                one.result()

    def undo(self) -> None:
        """Whatever is left of them: all is well from now on."""
        self._plant.to_redis.restore()
        self._plant.to_postgres.restore()
        self._plant.valkey.start()
        self._plant.postgres.start()
        self._plant.fleet.engine.dispose()  # whose connections may have ended with a server
        self._disk.empty()
        with self._plant.valkey.client() as client:
            client.config_set("maxmemory", "512mb")
        for pid in self._plant.every_process():
            kill(pid, signal.SIGCONT)

    def _do(self, name: str) -> None:
        try:
            self._say(name)
            self.menu[name]()
            self.journal.injected[name] += 1
        finally:
            self._locks[name].release()

    # Processes

    def _kill(self, role: str) -> None:
        kill(self._plant.pid(role), signal.SIGKILL)

    def _terminate(self) -> None:
        """As at each deployment: it drains and ends, and another takes its place."""
        self._plant.signal(self._rng.choice(ROLES), signal.SIGTERM)
        time.sleep(self._rng.uniform(0.0, 3.0))

    def _kill_child(self) -> None:
        worker = self._plant.pid(self._rng.choice(_WORKERS))
        if pids := offspring(worker):
            pid = self._rng.choice(pids)
            self._bury("kill -9 a child", pid, self._running(worker, pid))

    def _kill_worker(self) -> None:
        pid = self._plant.pid(self._rng.choice(_WORKERS))
        self._bury("kill -9 a worker", pid, self._running(pid))

    def _bury(self, fault: str, pid: int, ran: list[tuple[UUID, int]]) -> None:
        kill(pid, signal.SIGKILL)
        self.journal.deaths.append(Death(fault, datetime.now(UTC), ran))

    def _running(self, worker: int, child: int | None = None) -> list[tuple[UUID, int]]:
        """What the ledger says it runs; nothing where that cannot be asked now."""
        try:
            rows = self._plant.fleet.query(
                "SELECT t.id, t.attempt FROM task t JOIN worker w ON w.id = t.worker_id"
                " WHERE t.state = 'running' AND w.pid = :worker AND (CAST(:child AS int) IS NULL OR t.worker IN ("
                "  SELECT w.name || ':' || (c ->> 'index') FROM jsonb_array_elements(w.children) c"
                "  WHERE (c ->> 'pid')::int = :child))",
                worker=worker,
                child=child,
            )
        except (LedgerUnavailable, SQLAlchemyError):
            return []
        return [(row.id, row.attempt) for row in rows]

    def _kill_scheduler(self) -> None:
        """The one that leads, where that can be told."""
        leader, killed_at = self._leader(), time.monotonic()
        leading = [role for role in _SCHEDULERS if self._plant.pid(role) == leader]
        self._kill(leading[0] if leading else self._rng.choice(_SCHEDULERS))
        while leading and time.monotonic() - killed_at < _FOLLOWED_SECONDS:
            if self._leader() not in {None, leader}:
                self.journal.followed_seconds.append(time.monotonic() - killed_at)
                return
            time.sleep(0.05)

    def _leader(self) -> int | None:
        """The process that leads by PostgreSQL's word, where that can be had."""
        try:
            rows = self._plant.fleet.query("SELECT holder_name FROM leader WHERE expires_at > now()")
        except (LedgerUnavailable, SQLAlchemyError):
            return None
        return int(rows[0].holder_name.rpartition(":")[2]) if rows else None

    def _stop(self, role: str, seconds: float) -> None:
        """A worker with its children, as when a virtual machine is paused."""
        pid = self._plant.pid(role)
        pids = [pid, *offspring(pid)]
        for one in pids:
            kill(one, signal.SIGSTOP)
        time.sleep(seconds)
        for one in pids:
            kill(one, signal.SIGCONT)

    def _stop_briefly(self) -> None:
        pid = self._rng.choice(self._plant.every_process())
        kill(pid, signal.SIGSTOP)
        time.sleep(self._rng.uniform(0.5, 2.0))
        kill(pid, signal.SIGCONT)

    # Redis

    def _restart_redis(self) -> None:
        self._plant.valkey.stop()
        time.sleep(self._rng.uniform(0.0, 4.0))
        self._plant.valkey.start()

    def _crash_redis(self) -> None:
        pid = self._plant.valkey.pid
        assert pid is not None
        kill(pid, signal.SIGKILL)
        self._restart_redis()

    def _flush(self) -> None:
        with self._plant.valkey.client() as client:
            client.flushall()

    def _fill_redis(self) -> None:
        with self._plant.valkey.client() as client:
            client.config_set("maxmemory", "1mb")  # less than it takes empty: nothing more fits
            time.sleep(self._rng.uniform(1.0, 5.0))
            client.config_set("maxmemory", "512mb")

    def _slow_redis(self, seconds: float) -> None:
        self._plant.to_redis.slow(seconds)
        time.sleep(self._rng.uniform(2.0, 5.0))
        self._plant.to_redis.restore()

    def _stall_redis(self) -> None:
        self._plant.to_redis.stall()
        time.sleep(self._rng.uniform(1.0, 6.0))
        self._plant.to_redis.restore()

    # PostgreSQL

    def _restart_postgres(self, *, crash: bool) -> None:
        self._plant.postgres.stop("immediate" if crash else "fast")
        time.sleep(self._rng.uniform(0.0, 3.0))
        self._plant.postgres.start()

    def _stall_postgres(self) -> None:
        self._plant.to_postgres.stall()
        time.sleep(self._rng.uniform(1.0, 6.0))
        self._plant.to_postgres.restore()

    # Storage

    def _fill_disk(self) -> None:
        self._disk.fill()
        time.sleep(self._rng.uniform(2.0, 5.0))
        self._disk.empty()


def longest_recoveries(plant: Plant, deaths: list[Death]) -> Mapping[str, float]:
    """By fault, the most seconds from a death to the moment at which the ledger had a task of it queued again."""
    longest: dict[str, float] = {}
    for death in deaths:
        for task_id, attempt in death.ran:
            rows = plant.fleet.query(
                "SELECT finished_at FROM task_attempt WHERE task_id = :id AND attempt = :attempt"
                " AND outcome IN ('crashed', 'suspected', 'released') AND finished_at > :at",
                id=task_id,
                attempt=attempt,
                at=death.at,
            )
            for row in rows:
                seconds = (row.finished_at - death.at).total_seconds()
                longest[death.fault] = max(longest.get(death.fault, 0.0), seconds)
    return longest
