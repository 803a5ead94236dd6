"""The supervisor: N children, seen to from one light process.

It starts them, sees at once when one dies, has the lost attempts recorded with their cause, and starts
another. On SIGTERM or SIGINT it drains: children take no more, finish, record and exit; what is not
finished within the drain time is killed, and given back only after the kill, so that two runs never
overlap.
"""

from __future__ import annotations

import os
import queue
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import structlog

from taskyard.lifecycle.assertion import Assertion
from taskyard.lifecycle.rescue import Guilt, Lost
from taskyard.lifecycle.workers import Beat

from .autoscale import Autoscale
from .control import Plan
from .desk import ASYNC_LIMIT, Desk
from .enforcer import Enforcer
from .handle import Handle, cause_of, resident_bytes
from .oom import OomKills
from .pulse import Pulse
from .recorder import Recorder
from .slots import Phase
from .staffing import Staffing

log = structlog.stdlib.get_logger(__name__)

_TURN_SECONDS = 0.25  # what a limit may be late by
EXIT_MISCONFIGURED = 2


class Supervisor:
    """`spawn_environment` makes a child's environment for its index; `on_exit` is told of each ended child
    (and why it is replaced: None where the worker stops), `on_turn` of each turn of the main loop: whether
    the worker is alive, and why it takes no work, if so."""

    def __init__(
        self,
        *,
        scale: Autoscale,
        threads: int,
        queues: Sequence[str],
        overrides: dict[str, Any],
        drain_seconds: float,
        enforcer: Enforcer,
        spawn_environment: Callable[[int], dict[str, str]],
        on_exit: Callable[[int, int, str | None], None],
        on_turn: Callable[[bool, str | None], None],
    ) -> None:
        self.threads = threads
        self.queues = list(queues)
        self._overrides = overrides
        self._drain_seconds = drain_seconds
        self._enforcer = enforcer
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
        self._cancels: queue.SimpleQueue[tuple[UUID, UUID]] = queue.SimpleQueue()
        self._oom = OomKills()
        self._pulse = Pulse()
        self._staffing = Staffing(scale, living=lambda: self._living, spawn=self._spawn)
        self._exit_code = 0

    # What the recorder asks, from its own thread

    def standing(self, worker_id: UUID) -> Beat:
        """The content of a heartbeat."""
        with self._lock:
            held = [(c, [e.task_id for e in c.table.entries() if e.phase is Phase.BEGUN]) for c in self._living]
            runs = {c.pid: c.table.header().runs for c, _ in held}
        children, memory = [], resident_bytes(os.getpid())
        for child, running in held:
            size = resident_bytes(child.pid)
            memory += size
            children.append(
                {
                    "index": child.index,
                    "pid": child.pid,
                    "state": child.state,
                    "memory_bytes": size,
                    "runs": runs[child.pid],
                    "running": [str(i) for i in running],
                }
            )
        return Beat(
            worker_id=worker_id,
            state="draining" if self.is_stopping else "running",
            memory_bytes=memory,
            children=children,
            begun=[i for _, running in held for i in running],
        )

    def claims(self) -> list[Assertion]:
        """Every claim that a child holds; the attempt is 0 where it is not known yet."""
        with self._lock:
            return [
                Assertion(e.task_id, e.claim, e.attempt, f"{self.recorder.name}:{child.index}")
                for child in self._living
                for e in child.table.entries()
            ]

    def holds(self, task_ids: Collection[str]) -> bool:
        """Whether a child has one of these tasks."""
        return not {str(claim.task_id) for claim in self.claims()}.isdisjoint(task_ids)

    def give_up(self) -> None:
        """The ledger took this worker for dead: its claims are others' by now."""
        self._given_up = True
        self._ring()

    def cancel(self, keys: Collection[tuple[UUID, UUID]]) -> None:
        """Somebody asked for the end of these (task, claim)."""
        for key in keys:
            self._cancels.put(key)
        self._ring()

    def suspects(self, tasks: int) -> None:
        """So many tasks wait to run alone."""
        if tasks != self._staffing.suspects:
            self._staffing.suspects = tasks
            self._ring()

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # a full rope rings as well
            self._bell_rope.send(b"!")

    # The main thread

    @property
    def is_stopping(self) -> bool:
        return self._stop_signals > 0

    def listen(self) -> None:
        """Takes signals from now on."""
        self._bell.setblocking(False)
        self._bell_rope.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._bell_rope.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # the wake-up descriptor rings
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_stop)

    def run(self) -> int:
        """Until a signal ends it; returns the exit code."""
        while not self.is_stopping:
            if self.recorder.is_registered:  # children of a worker that the ledger does not know would win no claim
                self._staffing.turn()
            self._turn()
            if self._given_up:
                self._start_over()
        self._drain()
        return self._exit_code

    def _asked_to_stop(self, *_: object) -> None:
        self._stop_signals += 1

    def _turn(self, seconds: float = _TURN_SECONDS) -> None:
        """Waits for something to happen and deals with it."""
        if (pause := self._staffing.pause) is not None:
            seconds = min(seconds, pause)
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._bell:
                self._empty_bell()
            else:
                self._hear(key.data)
        if not self._cancels.empty():
            asked = [self._cancels.get() for _ in range(self._cancels.qsize())]
            self._enforcer.cancel(asked, self._living)
        self._enforcer.turn(self._living)
        for child in self._living:
            if why := child.stuck():
                log.error("child_stuck", child=child.index, pid=child.pid, cause=why)
                child.kill(why)
            self._reap(child)
        alive = self._pulse.look(self._living, is_registered=self.recorder.is_registered, is_stopping=self.is_stopping)
        self._on_turn(alive, self._pulse.unready)
        self._oom.look()

    def _spawn(self, quarantine: bool) -> None:
        used = {c.index for c in self._children.values()}
        index = next(i for i in range(len(used) + 1) if i not in used)
        plan = Plan(
            worker_id=str(self.recorder.worker_id),
            worker=self.recorder.name,
            index=index,
            queues=self.queues,
            threads=1 if quarantine else self.threads,
            overrides=self._overrides,
            inbox=str(uuid4()),
            quarantine=quarantine,
        )
        child = Handle.spawn(
            plan, slots=Desk.table_size(plan.threads, ASYNC_LIMIT), environment=self._environment(index)
        )
        self._selector.register(child.line, selectors.EVENT_READ, child)
        with self._lock:
            self._children[child.pid] = child
        log.info("child_started", child=index, pid=child.pid, quarantine=quarantine)

    def _hear(self, child: Handle) -> None:
        for message in child.hear():
            match message.get("event"):
                case "ready":
                    child.ready = True
                    self._staffing.relieve(child)
                case "worn":
                    child.worn = str(message.get("why"))
                case "retiring":
                    child.retiring = True
                case "suspects":
                    self.recorder.look()
                case "misconfigured":
                    self._misconfigured(child, str(message.get("message")))
        if child.is_silent:
            self._let_go(child)  # it has died or is about to: `_reap` sees it

    def _misconfigured(self, child: Handle, message: str) -> None:
        """Another child would find the same: better to stop, and to say why once."""
        child.retiring = True
        if self._exit_code:
            return
        self._exit_code = EXIT_MISCONFIGURED
        log.critical("worker_misconfigured", message=message)
        self._stop_signals += not self.is_stopping

    def _reap(self, child: Handle) -> None:
        ended = child.reap()
        if ended is None:
            return
        code, usage = ended
        self._hear(child)  # its last words: whether it meant to go
        held = self._enforcer.bury(child, child.table.entries())
        cause = child.why_killed or cause_of(code)
        if code == -signal.SIGKILL and child.why_killed is None and self._oom.happened_lately():
            cause = f"{cause}: out of memory"
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        innocent = child.why_killed is not None
        # What was fenced runs on in it until it ends, and may be what killed it.
        begun_ones = sum(e.phase is Phase.BEGUN for e in held) + (child.end_at is not None)
        guilt = Guilt.INNOCENT if innocent else Guilt.of_begun(begun_ones)
        lost = [
            Lost(e.task_id, e.claim, guilt if e.phase is Phase.BEGUN else Guilt.INNOCENT, cause, peak) for e in held
        ]
        if lost:
            self.recorder.lost(cause, lost)
        self.recorder.salvage(child.inbox)
        # After that: a beat that comes in between finds the claims neither held nor on their way.
        with self._lock:
            del self._children[child.pid]
        self._let_go(child)
        child.close()
        closed = child.quarantine and code == 0  # no suspect is left: nobody follows it
        why = None if self.is_stopping or closed else child.why_replaced(code)
        self._on_exit(child.index, child.pid, why)
        if child.is_condemned or (child.retiring and code in {0, self._exit_code}):
            log.info("child_ended", child=child.index, pid=child.pid)
            return
        begun = [f"{e.name}:{e.task_id}" for e in held if e.phase is Phase.BEGUN]
        log.error("child_died", child=child.index, pid=child.pid, cause=cause, peak_memory_bytes=peak, running=begun)
        self._staffing.died(child, had_begun=bool(begun))

    def _start_over(self) -> None:
        """Ends the children and has the worker registered anew; `_fill` waits for that."""
        self._given_up = False
        self._kill_all("the ledger had given this worker up")
        self.recorder.renew()

    def _drain(self) -> None:
        signals = self._stop_signals
        log.info("worker_draining", children=len(self._children), seconds=self._drain_seconds)
        deadline = time.monotonic() + self._drain_seconds
        for child in self._children.values():
            child.say({"do": "drain"})
        while self._children and time.monotonic() < deadline and self._stop_signals == signals:
            self._turn(min(_TURN_SECONDS, max(0.01, deadline - time.monotonic())))
            if self._given_up:
                self._kill_all("the ledger had given this worker up")
        if self._children:
            log.warning("drain_time_over", children=len(self._children))
            self._kill_all("the worker stopped before it was finished")

    def _kill_all(self, why: str) -> None:
        for child in self._children.values():
            child.kill(why)
        while self._children:
            self._turn(0.2)

    @property
    def _living(self) -> list[Handle]:
        return list(self._children.values())

    def _let_go(self, child: Handle) -> None:
        if child.line in self._selector.get_map():
            self._selector.unregister(child.line)

    def _empty_bell(self) -> None:
        try:
            while self._bell.recv(4096):
                pass
        except BlockingIOError:
            pass
