"""The slot table: which claims a child holds, in memory that its supervisor shares.

A child enters a claim before it asks PostgreSQL for it and removes it after its end is recorded. So when
the child dies, its supervisor reads here, at once and without asking anybody, what was lost and what of it
had begun.

    free -> claiming -> claimed -> begun -> finished -> free
                     \\-> free (not won)  \\-> free (released)

Only the child writes. The supervisor reads while the child lives (for heartbeats; a torn entry does no
harm, every write in the ledger is guarded by the claim) and after its death (for good).
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from taskyard.catalogue.types import MAX_NAME_BYTES

NAME_BYTES = MAX_NAME_BYTES

# pid, tick, polled, fetched, wrote (CLOCK_MONOTONIC seconds, which all processes of a host share), runs
_HEADER = struct.Struct("<QddddI4x")
# phase, expires, attempt, failures, max_attempts, task, claim, claimed, begun, hard, name
_ENTRY = struct.Struct(f"<BBxxIII16s16sddd{NAME_BYTES}s")
_BUDGET, _BUDGET_AT = struct.Struct("<BxxIII"), 1
_BEGUN, _BEGUN_AT = struct.Struct("<d"), 4 + 3 * 4 + 16 + 16 + 8
_LIMIT, _LIMIT_AT = struct.Struct(f"<d{NAME_BYTES}s"), _BEGUN_AT + 8


class Phase(IntEnum):
    FREE = 0
    CLAIMING = 1
    CLAIMED = 2
    BEGUN = 3
    FINISHED = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One claim as the supervisor sees it. Times are CLOCK_MONOTONIC seconds, 0 means not yet; so does the
    attempt 0. `hard_seconds` is its limit, `expires`: because its whole life is over then."""

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


@dataclass(frozen=True, slots=True)
class Header:
    """When its main thread turned, its consumer's loop, the consumer got an answer of Redis (or had no room),
    and its writer turned, in CLOCK_MONOTONIC seconds."""

    pid: int
    tick: float
    polled: float
    fetched: float
    wrote: float
    runs: int


class SlotTable:
    """`size` entries behind a file descriptor that is handed down to the child."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._map = mmap.mmap(fd, _HEADER.size + size * _ENTRY.size)

    @classmethod
    def create(cls, size: int) -> SlotTable:
        """A new, empty table in an unnamed file: it is gone when nobody holds it any more. In memory where
        the system can: no disk to be full or read-only, and nothing to be written back to one."""
        if sys.platform == "linux":
            fd = os.memfd_create("taskyard-slots")
        else:
            with tempfile.TemporaryFile(prefix="taskyard-slots-") as file:
                fd = os.dup(file.fileno())
        os.truncate(fd, _HEADER.size + size * _ENTRY.size)
        return cls(fd, size)

    def hand_down(self) -> None:
        """After the child was started: it has the descriptor now, and the mapping needs none."""
        os.close(self.fd)

    def close(self) -> None:
        self._map.close()

    # The child's side. Packed first and copied then: `pack_into` would clear the place for a moment, and
    # whoever reads, or dies, in that moment would find a claim gone.

    def enter(self, index: int, task_id: UUID, claim: UUID) -> None:
        """A claim that is about to be asked for. The entry counts from the moment its phase is written."""
        at = self._at(index)
        self._put(at, _ENTRY, Phase.FREE, 0, 0, 0, 0, task_id.bytes, claim.bytes, time.monotonic(), 0, 0, b"")
        self._map[at] = Phase.CLAIMING

    def describe(
        self,
        index: int,
        *,
        name: str,
        attempt: int,
        failures: int,
        max_attempts: int,
        hard_seconds: float,
        expires: bool,
    ) -> None:
        """What is known once the claim is won: all that the supervisor needs to judge an attempt that does not
        end."""
        at = self._at(index)
        self._put(at + _LIMIT_AT, _LIMIT, hard_seconds, name.encode()[:NAME_BYTES])
        self._put(at + _BUDGET_AT, _BUDGET, expires, attempt, failures, max_attempts)

    def begin(self, index: int) -> None:
        at = self._at(index)
        self._put(at + _BEGUN_AT, _BEGUN, time.monotonic())
        self._map[at] = Phase.BEGUN

    def set_phase(self, index: int, phase: Phase) -> None:
        self._map[self._at(index)] = phase

    def report(self, *, pid: int, tick: float, polled: float, fetched: float, wrote: float, runs: int) -> None:
        self._put(0, _HEADER, pid, tick, polled, fetched, wrote, runs)

    def _put(self, at: int, shape: struct.Struct, *values: float | bytes) -> None:
        self._map[at : at + shape.size] = shape.pack(*values)

    # The supervisor's side

    def header(self) -> Header:
        return Header(*_HEADER.unpack_from(self._map, 0))

    def entries(self) -> Iterator[Entry]:
        """Every claim that is held."""
        for index in range(self.size):
            at = self._at(index)
            if self._map[at] == Phase.FREE:
                continue
            # Copied at once: taken field by field, one claim's name could meet the next one's beginning.
            phase, expires, attempt, failures, attempts, task, claim, claimed, begun, hard, name = _ENTRY.unpack(
                self._map[at : at + _ENTRY.size]
            )
            if phase == Phase.FREE:
                continue
            yield Entry(
                Phase(phase),
                bool(expires),
                attempt,
                failures,
                attempts,
                UUID(bytes=task),
                UUID(bytes=claim),
                claimed,
                begun,
                hard,
                name.rstrip(b"\x00").decode(errors="replace"),
            )

    @staticmethod
    def _at(index: int) -> int:
        return _HEADER.size + index * _ENTRY.size
