"""The supervisor: N children, seen to from one light process.

It starts them, sees at once when one dies, has the lost attempts recorded with their cause, and starts
another. On SIGTERM or SIGINT it drains: children take no more, finish, record and exit; what is not
finished within the drain time is killed, and given back only after the kill, so that two runs never
overlap.
"""

from __future__ import annotations

import json
import logging
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from taskyard.lifecycle.rescue import Lost
from taskyard.lifecycle.workers import Beat

from .desk import ASYNC_LIMIT, Desk
from .recorder import Recorder
from .slots import Phase, SlotTable

log = logging.getLogger(__name__)

_TURN_SECONDS = 1.0
_SHORT_LIFE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 15.0
EXIT_MISCONFIGURED = 2


@dataclass(slots=True, eq=False)
class Handle:
    """One child process as the supervisor knows it."""

    index: int
    process: subprocess.Popen[bytes]
    line: socket.socket
    table: SlotTable
    started: float
    ready: bool = False
    retiring: bool = False
    why_killed: str | None = None
    heard: bytes = field(default=b"", repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid


class Supervisor:
    """`spawn_environment` makes a child's environment for its index; `on_exit` is told of each ended child,
    `on_turn` of each turn of the main loop."""

    def __init__(
        self,
        *,
        processes: int,
        threads: int,
        queues: Sequence[str],
        overrides: dict[str, Any],
        drain_seconds: float,
        spawn_environment: Callable[[int], dict[str, str]],
        on_exit: Callable[[int, int, str], None],
        on_turn: Callable[[], None],
    ) -> None:
        self.processes = processes
        self.threads = threads
        self.queues = list(queues)
        self._overrides = overrides
        self._drain_seconds = drain_seconds
        self._environment = spawn_environment
        self._on_exit = on_exit
        self._on_turn = on_turn
        self.recorder: Recorder
        self._children: dict[int, Handle] = {}
        self._lock = threading.Lock()  # the recorder's thread reads the children
        self._selector = selectors.DefaultSelector()
        self._bell, self._bell_rope = socket.socketpair()
        self._stop_signals = 0
        self._given_up = False
        self._failures = 0
        self._spawn_at = 0.0
        self._exit_code = 0
        self.turned = time.monotonic()

    # What the recorder asks, from its own thread

    def standing(self, worker_id: UUID) -> Beat:
        """The content of a heartbeat."""
        children, begun, memory = [], [], _resident(os.getpid())
        for child in self._living():
            running = [e for e in child.table.entries() if e.phase is Phase.BEGUN]
            begun += [e.task_id for e in running]
            size = _resident(child.pid)
            memory += size
            children.append(
                {
                    "index": child.index,
                    "pid": child.pid,
                    "state": "retiring" if child.retiring else "running" if child.ready else "starting",
                    "memory_bytes": size,
                    "runs": child.table.header().runs,
                    "running": [str(e.task_id) for e in running],
                }
            )
        state = "draining" if self._stop_signals else "running"
        return Beat(worker_id=worker_id, state=state, memory_bytes=memory, children=children, begun=begun)

    def claims(self) -> set[tuple[UUID, UUID]]:
        """Every claim that a child holds."""
        return {(e.task_id, e.claim) for child in self._living() for e in child.table.entries()}

    def give_up(self) -> None:
        """The ledger took this worker for dead: its claims are others' by now."""
        self._given_up = True
        self._ring()

    def is_alive(self) -> bool:
        """Whether the main loop turns."""
        return time.monotonic() - self.turned < 10 * _TURN_SECONDS

    # The main thread

    def run(self) -> int:
        """Until a signal ends it; returns the exit code."""
        self._bell.setblocking(False)
        self._bell_rope.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._bell_rope.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # the wake-up descriptor rings
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_stop)
        while not self._stop_signals:
            self._fill()
            self._turn()
            if self._given_up:
                self._start_over()
        self._drain()
        return self._exit_code

    def _asked_to_stop(self, *_: object) -> None:
        self._stop_signals += 1

    def _fill(self) -> None:
        """Starts children until there are enough; slower where they keep dying young."""
        active = sum(not c.retiring for c in self._children.values())
        while active < self.processes and time.monotonic() >= self._spawn_at:
            self._spawn()
            active += 1

    def _turn(self, seconds: float = _TURN_SECONDS) -> None:
        """Waits for something to happen and deals with it."""
        if self._spawn_at:
            seconds = max(0.01, min(seconds, self._spawn_at - time.monotonic()))
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._bell:
                self._empty_bell()
            else:
                self._hear(key.data)
        for child in list(self._children.values()):
            self._reap(child)
        self.turned = time.monotonic()
        self._on_turn()

    def _spawn(self) -> None:
        used = {c.index for c in self._children.values()}
        index = next(i for i in range(len(used) + 1) if i not in used)
        table = SlotTable.create(Desk.table_size(self.threads, ASYNC_LIMIT))
        ours, theirs = socket.socketpair()
        # From the main thread: the kernel sends PDEATHSIG when the *thread* that started a process ends.
        process = subprocess.Popen(
            [
                sys.executable, "-m", "taskyard_worker.child",
                str(theirs.fileno()), str(table.fd), str(table.size), str(os.getpid()),
            ],
            pass_fds=(theirs.fileno(), table.fd),
            env=self._environment(index),
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        table.hand_down()
        child = Handle(index, process, ours, table, time.monotonic())
        plan = {
            "worker_id": str(self.recorder.worker_id),
            "worker": self.recorder.name,
            "index": index,
            "queues": self.queues,
            "threads": self.threads,
            "overrides": self._overrides,
        }
        ours.sendall(json.dumps(plan).encode() + b"\n")
        ours.setblocking(False)
        self._selector.register(ours, selectors.EVENT_READ, child)
        with self._lock:
            self._children[process.pid] = child
        log.info("child_started child=%d pid=%d", index, process.pid)

    def _hear(self, child: Handle) -> None:
        try:
            data = child.line.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(child.line)  # it has died or is about to: `_reap` sees it
            return
        child.heard += data
        while b"\n" in child.heard:
            line, _, child.heard = child.heard.partition(b"\n")
            self._told(child, json.loads(line))

    def _told(self, child: Handle, message: dict[str, Any]) -> None:
        match message.get("event"):
            case "ready":
                child.ready = True
                self._failures = 0
            case "retiring":
                child.retiring = True
            case "misconfigured":
                log.critical("child_misconfigured message=%s", message.get("message"))
                self._exit_code = EXIT_MISCONFIGURED
                self._stop_signals += 1

    def _reap(self, child: Handle) -> None:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if not pid:
            return
        child.process.returncode = code = os.waitstatus_to_exitcode(status)
        with self._lock:
            del self._children[child.pid]
        held = list(child.table.entries())
        cause = child.why_killed or _cause(code)
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        innocent = child.why_killed is not None
        lost = [Lost(e.task_id, e.claim, e.phase is Phase.BEGUN and not innocent, cause, peak) for e in held]
        if lost:
            self.recorder.lost(cause, lost)
        if code == 0 and child.retiring:
            log.info("child_ended child=%d pid=%d", child.index, child.pid)
        else:
            begun = [f"{e.name}:{e.task_id}" for e in held if e.phase is Phase.BEGUN]
            log.error(
                "child_died child=%d pid=%d cause=%r peak_memory_bytes=%d running=%s",
                child.index, child.pid, cause, peak, begun,
            )  # fmt: skip
            self._slow_down(child)
        self._on_exit(child.index, child.pid, "retired" if code == 0 else "signal" if code < 0 else "exit")
        if child.line.fileno() >= 0:
            if child.line in (k.fileobj for k in self._selector.get_map().values()):
                self._selector.unregister(child.line)
            child.line.close()

    def _slow_down(self, child: Handle) -> None:
        """A child that dies young is followed by the next one after a pause that doubles."""
        if child.ready and time.monotonic() - child.started > _SHORT_LIFE_SECONDS:
            self._failures, self._spawn_at = 0, 0.0
            return
        self._failures += 1
        if child.ready and self._failures <= 3:
            return  # a task killed it, most likely: the others should not wait
        pause = min(0.25 * 2**self._failures, _LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1.0)
        self._spawn_at = time.monotonic() + pause

    def _start_over(self) -> None:
        """Ends the children and registers anew."""
        self._given_up = False
        self._kill_all("the ledger had given this worker up")
        self.recorder.renew()

    def _drain(self) -> None:
        signals = self._stop_signals
        log.info("worker_draining children=%d seconds=%s", len(self._children), self._drain_seconds)
        deadline = time.monotonic() + self._drain_seconds
        for child in self._children.values():
            self._say(child, {"do": "drain"})
        while self._children and time.monotonic() < deadline and self._stop_signals == signals:
            self._turn(min(_TURN_SECONDS, max(0.01, deadline - time.monotonic())))
        if self._children:
            log.warning("drain_time_over children=%d", len(self._children))
            self._kill_all("the worker stopped before it was finished")

    def _kill_all(self, why: str) -> None:
        for child in self._children.values():
            child.why_killed = why
            child.process.kill()
        while self._children:
            self._turn(0.2)

    def _say(self, child: Handle, message: dict[str, Any]) -> None:
        with suppress(OSError):  # it is dying; `_reap` will see it
            child.line.sendall(json.dumps(message).encode() + b"\n")

    def _living(self) -> list[Handle]:
        with self._lock:
            return list(self._children.values())

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # a full rope rings as well
            self._bell_rope.send(b"!")

    def _empty_bell(self) -> None:
        try:
            while self._bell.recv(4096):
                pass
        except BlockingIOError:
            pass


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"killed by signal {-code}"


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
