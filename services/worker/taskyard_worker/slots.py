"""The slot table: the claims of a child, in memory that it shares with its supervisor.

A child enters a claim before it asks PostgreSQL for it, and removes it after the outcome is recorded. When the child
dies, its supervisor reads here, at once and without a query, which claims are lost and which of them had begun.

    free -> claiming -> claimed -> begun -> finished -> free
                     \\-> free (not won)  \\-> free (released)

Only the child writes. The supervisor reads while the child lives (for heartbeats and limits; a torn entry does no
harm, because every write in the ledger is guarded by the claim) and after its death.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from taskyard.catalogue.types import MAX_NAME_BYTES
from taskyard.lifecycle.claim import Claimed

# The capacity of a child. `async def` tasks run beside those in threads, so many at a time:
ASYNC_LIMIT = 100
# Claims ahead of the threads, at most:
AHEAD_PER_THREAD = 16
# Finished tasks that wait for the writer. More would only pile up while PostgreSQL is away.
BACKLOG = 256

# Of the name of an API key: 100 characters.
_KEY_BYTES = 400

# pid, tick, polled, fetched, wrote (CLOCK_MONOTONIC seconds, which all processes of a host share), runs
_HEADER = struct.Struct("<QddddI4x")
# How many attempts have ended here, by their outcome.
ENDS = ("succeeded", "failed", "retrying", "cancelled")
_ENDS, _ENDS_AT = struct.Struct(f"<{len(ENDS)}Q"), _HEADER.size
_HEAD_SIZE = _HEADER.size + _ENDS.size
# phase, expires, attempt, failures, max_attempts, task, claim, claimed, begun, hard, name, submitter
_ENTRY = struct.Struct(f"<BBxxIII16s16sddd{MAX_NAME_BYTES}s{_KEY_BYTES}s")
_BUDGET, _BUDGET_AT = struct.Struct("<BxxIII"), 1
_BEGUN, _BEGUN_AT = struct.Struct("<d"), 4 + 3 * 4 + 16 + 16 + 8
_LIMIT, _LIMIT_AT = struct.Struct(f"<d{MAX_NAME_BYTES}s{_KEY_BYTES}s"), _BEGUN_AT + 8


def table_size(threads: int, async_limit: int = ASYNC_LIMIT) -> int:
    """How many claims a child with so many threads can hold."""
    return threads * (1 + AHEAD_PER_THREAD) + async_limit + BACKLOG


Kind = tuple[str, str]
"""A task type, and the name of the API key that submitted it ("" where none did)."""


class Phase(IntEnum):
    FREE = 0
    CLAIMING = 1
    CLAIMED = 2
    BEGUN = 3
    FINISHED = 4


# A look at a member of an enum costs more than the comparison, and there are hundreds of entries.
_FREE = int(Phase.FREE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One claim as the supervisor sees it. Times are CLOCK_MONOTONIC seconds, 0 until they are known; so is `attempt`.
    `hard_seconds` is the hard limit; `expires` says that it stands for the end of the task's life."""

    phase: Phase
    expires: bool
    attempt: int
    failures: int
    max_attempts: int
    task_id: UUID
    claim: UUID
    claimed_at: float
    begun_at: float
    hard_seconds: float
    name: str
    submitted_by: str

    @property
    def kind(self) -> Kind:
        return self.name, self.submitted_by


@dataclass(frozen=True, slots=True)
class Header:
    """When each loop of the child last turned, in CLOCK_MONOTONIC seconds: its main thread (`tick`), its consumer
    (`polled`), its writer (`wrote`). `fetched`: when Redis last answered, or the consumer had no room to fetch."""

    pid: int
    tick: float
    polled: float
    fetched: float
    wrote: float
    runs: int


class SlotTable:
    """`size` entries behind a file descriptor that the child inherits."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._map = mmap.mmap(fd, _HEAD_SIZE + size * _ENTRY.size)

    @classmethod
    def create(cls, size: int) -> SlotTable:
        """A new, empty table in an unnamed file, which is gone with its last user. It is in memory where the system
        can do that: no disk that may be full or read-only, and nothing to write back to one."""
        if sys.platform == "linux":
            fd = os.memfd_create("taskyard-slots")
        else:
            with tempfile.TemporaryFile(prefix="taskyard-slots-") as file:
                fd = os.dup(file.fileno())
        os.truncate(fd, _HEAD_SIZE + size * _ENTRY.size)
        return cls(fd, size)

    def hand_down(self) -> None:
        """Closes the descriptor, once the child has inherited or mapped it: the mapping needs none."""
        os.close(self.fd)

    def close(self) -> None:
        self._map.close()

    def detach(self) -> None:
        """In a copy of the child: what it writes is for itself."""
        self._map.close()
        self._map = mmap.mmap(-1, _HEAD_SIZE + self.size * _ENTRY.size)

    # The child's side. Entries are packed first and copied then: `pack_into` would zero the entry for a moment, and a
    # supervisor that reads in that moment, or a child that dies in it, would lose a claim.

    def enter(self, index: int, task_id: UUID, claim: UUID) -> None:
        """A claim that the child is about to ask for. The entry counts from the moment its phase is written."""
        at = self._at(index)
        self._put(at, _ENTRY, Phase.FREE, 0, 0, 0, 0, task_id.bytes, claim.bytes, time.monotonic(), 0, 0, b"", b"")
        self._map[at] = Phase.CLAIMING

    def describe(self, index: int, work: Claimed, *, hard_seconds: float, expires: bool) -> None:
        """What is known once the claim is won: what the supervisor needs to enforce its limit."""
        at = self._at(index)
        name, key = work.name.encode()[:MAX_NAME_BYTES], (work.submitted_by or "").encode()[:_KEY_BYTES]
        self._put(at + _LIMIT_AT, _LIMIT, hard_seconds, name, key)
        self._put(at + _BUDGET_AT, _BUDGET, expires, work.attempt, work.failures, work.max_attempts)

    def begin(self, index: int) -> None:
        at = self._at(index)
        self._put(at + _BEGUN_AT, _BEGUN, time.monotonic())
        self._map[at] = Phase.BEGUN

    def set_phase(self, index: int, phase: Phase) -> None:
        self._map[self._at(index)] = phase

    def report(self, *, pid: int, tick: float, polled: float, fetched: float, wrote: float, runs: int) -> None:
        self._put(0, _HEADER, pid, tick, polled, fetched, wrote, runs)

    def count(self, ends: Mapping[str, int]) -> None:
        """How many attempts have ended here so far, by their outcome."""
        self._put(_ENDS_AT, _ENDS, *(ends.get(outcome, 0) for outcome in ENDS))

    def _put(self, at: int, shape: struct.Struct, *values: float | bytes) -> None:
        self._map[at : at + shape.size] = shape.pack(*values)

    # The supervisor's side

    def header(self) -> Header:
        return Header(*_HEADER.unpack_from(self._map, 0))

    def ends(self) -> dict[str, int]:
        return dict(zip(ENDS, _ENDS.unpack_from(self._map, _ENDS_AT), strict=True))

    def holds(self, phase: Phase) -> bool:
        """Whether a claim is in this phase."""
        return any(self._map[self._at(index)] == phase for index in range(self.size))

    def entries(self, only: Phase | None = None) -> Iterator[Entry]:
        """Every claim that the child holds, or `only` those of this phase."""
        for index in range(self.size):
            at = self._at(index)
            if (found := self._map[at]) == _FREE or (only is not None and found != only):
                continue
            # Copied at once: read field by field, the entry could mix two claims.
            entry = _ENTRY.unpack(self._map[at : at + _ENTRY.size])
            phase, expires, attempt, failures, attempts, task, claim, claimed, begun, hard, *words = entry
            if phase != Phase.FREE and (only is None or phase == only):
                ids = UUID(bytes=task), UUID(bytes=claim)
                told = (word.rstrip(b"\x00").decode(errors="replace") for word in words)
                yield Entry(Phase(phase), bool(expires), attempt, failures, attempts, *ids, claimed, begun, hard, *told)

    @staticmethod
    def _at(index: int) -> int:
        return _HEAD_SIZE + index * _ENTRY.size
