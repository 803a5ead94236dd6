"""A child that has died, as its handle shows it to the supervisor."""

from __future__ import annotations

import signal
import socket
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from taskyard_worker.slots import SlotTable

from .making import claim_some, make_claim_table, make_slot_table


@dataclass
class DeadChild:
    """Killed by a signal as soon as it had begun so many tasks."""

    begun: int
    quarantine: bool = False
    kill_at: float | None = None
    why_spawned: str | None = None
    blamed: set[Any] = field(default_factory=set)
    table: SlotTable = field(default_factory=make_slot_table)
    forced_ends: dict[Any, Any] = field(default_factory=dict)
    index: int = 0
    fetcher_id: str = "its fetcher"
    pid: int = 1
    ready: bool = True
    worn: str | None = None
    retiring: bool = False
    line_closed: bool = True
    is_enforced: bool = False
    why_killed: str | None = None
    broken: str | None = None
    ended_lately: set[Any] = field(default_factory=set)
    code: int = -signal.SIGSEGV
    state: str = "running"
    types: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.line, other = socket.socketpair()
        other.close()
        self.started = time.monotonic()
        claims = make_claim_table(table=self.table)
        for slot in claim_some(claims, self.begun):
            claims.begin(slot)

    def receive(self) -> list[Any]:
        return []

    def is_unresponsive(self, seconds: float) -> bool:
        return False

    def stuck(self) -> str | None:
        return None

    def retire(self) -> None:
        self.retiring = True

    def reap(self) -> tuple[int, Any]:
        return self.code, SimpleNamespace(ru_maxrss=1)

    def why_replaced(self, code: int) -> str:
        return "signal"

    def close(self) -> None:
        self.line.close()
