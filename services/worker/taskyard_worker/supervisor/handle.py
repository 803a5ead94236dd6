"""The handle: a child process as its supervisor knows it."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from taskyard.catalogue.spec import TaskSpec
from taskyard.domain.failures import Cause
from taskyard.domain.tasks import Outcome

from ..slots import Kind, Phase, SlotTable
from .line import Line
from .requests import Key

# Longer than any wait of a healthy writer or consumer: a statement, a connection, a lock.
STUCK_SECONDS = 90.0
# A process that was stopped and goes on needs a moment to catch up.
_GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ForcedEnd:
    """An attempt that the supervisor ends: past its hard limit, or not stopping after a cancellation. `why` is a
    sentence for people."""

    task_id: UUID
    claim: UUID
    kind: Kind
    outcome: Outcome
    run_seconds: float
    why: str

    @property
    def name(self) -> str:
        return self.kind[0]


@dataclass(slots=True)
class Report:
    """What a child has reported of its task types so far, by name; `refused` says why."""

    types: dict[str, TaskSpec] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Process(Protocol):
    """A process of which this one is the parent: a `subprocess.Popen`, or one that the template has forked."""

    @property
    def pid(self) -> int: ...

    returncode: Any  # None, or an int once it has ended


@dataclass(slots=True, eq=False)
class Handle:
    """`line` is the control line, `table` the shared slot table. `fetcher_id`: see `Plan`. `start_seconds`: within
    these it has to be ready. `why_spawned`: why it was not forked, where it should have been.

    The supervisor's parts keep the state of the child here:

    - `worn`: why another child should replace it. It works on until that one is ready.
    - `retiring`: it takes no more tasks.
    - `why_killed`: why the supervisor killed it, if so; its tasks are not to blame for its death then.
    - `is_enforced`: it was killed to enforce a limit; `forced_ends` are recorded once it has ended.
    - `types`: the task types that it runs, by name, once its `report` is complete.
    - `blamed`: the kinds of the tasks for whose sake it has to end.
    - `broken`: the thread that a task ended in it, if one did; `ended_lately`: the kinds of tasks that had just ended.
    - `kill_at`: an attempt in it was fenced and may run on; it is killed at this time at the latest.
    """

    index: int
    process: Process
    line: Line
    table: SlotTable
    started: float
    fetcher_id: str
    start_seconds: float
    quarantine: bool = False
    why_spawned: str | None = None
    ready: bool = False
    worn: str | None = None
    retiring: bool = False
    why_killed: str | None = None
    is_enforced: bool = False
    blamed: set[Kind] = field(default_factory=set)
    broken: str | None = None
    ended_lately: set[Kind] = field(default_factory=set)
    kill_at: float | None = None
    forced_ends: dict[Key, ForcedEnd] = field(default_factory=dict)
    report: Report = field(default_factory=Report, repr=False)
    types: Mapping[str, TaskSpec] = field(default_factory=dict, repr=False)
    _stuck_at: float | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def line_closed(self) -> bool:
        """Whether the child's end of the line is closed."""
        return self.line.is_closed

    def send(self, message: dict[str, Any]) -> None:
        self.line.send(message)

    def retire(self) -> None:
        """Tells it to take no more, to finish what it has, and to end."""
        self.retiring = True
        self.send({"do": "drain"})

    def receive(self) -> list[dict[str, Any]]:
        """The messages since the last call. Kills a child that sends no end of a line."""
        messages = self.line.receive()
        if self.line.is_overlong:
            self.kill("it sent a line without an end")
        return messages

    def broke(self, message: dict[str, Any]) -> None:
        """Takes the child's last message. Tasks can write to its line, so it may be any JSON."""
        kinds = message.get("kinds")
        self.broken = str(message.get("thread"))
        self.ended_lately = {
            (kind[0], kind[1]) for kind in (kinds if isinstance(kinds, list) else ()) if _is_kind(kind)
        }

    @property
    def state(self) -> str:
        """In a word, for people."""
        if self.retiring:
            return "retiring"
        return "quarantine" if self.quarantine else "running" if self.ready else "starting"

    def why_replaced(self, code: int) -> str:
        """The cause of its end as metrics name it."""
        if self.is_enforced:
            return "limit"
        return "retired" if code == 0 else "signal" if code < 0 else "exit"

    def kill(self, why: str) -> None:
        # Not `Popen.kill`: it would notice an exit that has happened, and leave nothing for `reap`.
        self.why_killed = self.why_killed or why
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> tuple[int, resource.struct_rusage] | None:
        """Its exit code (negative: a signal) and what it used, once it has ended; answers once.

        The programs that its tasks started end with it: one that a task waited for would run on beside the next
        attempt. `Orphans` ends those that have left its process group.
        """
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if not pid:
            return None
        with suppress(ProcessLookupError, PermissionError):
            # The kernel does not reuse the number of a group that has members.
            os.killpg(pid, signal.SIGKILL)
        code = self.process.returncode = os.waitstatus_to_exitcode(status)
        return code, usage

    def is_unresponsive(self, seconds: float) -> bool:
        """Whether its main thread has not turned for so long: it reads no message, and no exception arrives in it."""
        return self.ready and time.monotonic() - self.table.header().tick > seconds

    def stuck(self) -> str | None:
        """Why the supervisor has to end it, if one of its loops has stopped for good, or it does not become ready."""
        now = time.monotonic()
        if not self.ready and now - self.started > self.start_seconds:
            return f"it was not ready within {self.start_seconds:g} s"
        loop = stopped_loop(self.table, now, ready=self.ready)
        self._stuck_at = (self._stuck_at or now) if loop else None
        if self._stuck_at is None or now - self._stuck_at <= _GRACE_SECONDS:
            return None
        return f"its {loop} had stopped"

    def close(self) -> None:
        self.line.close()
        self.table.close()


def _is_kind(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def stopped_loop(table: SlotTable, now: float, *, ready: bool) -> str | None:
    """Which loop of a child does not turn, if one does not.

    A main thread that does not turn may wait for C code that holds the GIL; the limits of that task end it. Where no
    task has begun, nothing else would end the child.
    """
    header = table.header()
    if header.tick - min(header.wrote, header.polled) >= STUCK_SECONDS:
        return "writer" if header.wrote < header.polled else "consumer"
    stands = ready and now - header.tick > STUCK_SECONDS
    return "main thread" if stands and not any(e.phase is Phase.BEGUN for e in table.entries()) else None


def cause_of(code: int, *, out_of_memory: bool = False) -> Cause:
    """Why a process ended with this exit code (negative: a signal)."""
    if code >= 0:
        return Cause("exit_code", {"code": code})
    try:
        told = f"{-code} ({signal.Signals(-code).name})"
    except ValueError:
        told = f"{-code}"
    return Cause("out_of_memory" if out_of_memory else "signal", {"signal": told})
