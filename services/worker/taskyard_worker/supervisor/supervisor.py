"""The supervisor's main thread: it starts children, enforces limits, and sees at once when a child ends.

The lost attempts of a dead child are recorded with their cause, and another child is started. On a signal to stop the
worker drains: children take no more, finish, record and exit. A child that has not finished within the drain time is
killed; its tasks are given back only after its exit, so that two runs never overlap. A worker that is asked to drain
waits for its tasks instead, until a signal comes.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

import structlog

from taskyard.domain.failures import Cause
from taskyard.lifecycle.rescue import Guilt
from taskyard.lifecycle.workers import Asked

from ..control import EXIT_MISCONFIGURED
from ..memory import OomKills
from ..quarantine import judge
from ..slots import Phase
from ..temp_dirs import TempDirs
from .brakes import Brakes
from .children import Children
from .enforcer import Enforcer
from .handle import Handle, cause_of
from .liveness import Liveness
from .orphans import Orphans
from .pool import ChildPool
from .recorder import Recorder
from .registration import Registration
from .requests import Requests
from .template import Template
from .types import TypeReports

log = structlog.stdlib.get_logger(__name__)

_TURN_SECONDS = 0.25  # a limit may be enforced so much too late
_LAST_SECONDS = 2.0
_GIVEN_UP = "the ledger had given this worker up"


class Supervisor:
    """`on_exit` is called for each child that ended: its index, and why another replaces it (None where none does).
    `on_retired` is called with why a child takes no more tasks, while the worker goes on.
    `on_turn` is called with each turn: whether the worker is alive, and why it takes no tasks, if so."""

    def __init__(
        self,
        registration: Registration,
        requests: Requests,
        children: Children,
        recorder: Recorder,
        enforcer: Enforcer,
        template: Template,
        pool: ChildPool,
        types: TypeReports,
        brakes: Brakes,
        orphans: Orphans,
        temp_dirs: TempDirs,
        oom: OomKills,
        *,
        drain_seconds: float,
        on_exit: Callable[[int, str | None], None],
        on_retired: Callable[[str], None],
        on_turn: Callable[[bool, str | None], None],
    ) -> None:
        self._registration = registration
        self._requests = requests
        self._children = children
        self._recorder = recorder
        self._enforcer = enforcer
        self._template = template
        self._pool = pool
        self._types = types
        self._brakes = brakes
        self._orphans = orphans
        self._temp_dirs = temp_dirs
        self._drain_seconds = drain_seconds
        self._on_exit = on_exit
        self._on_retired = on_retired
        self._on_turn = on_turn
        self._oom = oom
        self._liveness = Liveness()
        self._exit_code = 0
        self._was_ready = False  # whether any child has ever been ready

    def run(self) -> int:
        """Until a signal ends it; returns the exit code."""
        while not self._requests.is_stopping:
            if self._requests.take_reload():
                log.info("worker_reloading", children=len(self._children))
                self._pool.replace_all()
            for asked in self._requests.take_asked():
                self._carry_out(asked)
            if self._registration.is_registered:  # children of an unregistered worker win no claim
                self._pool.turn(self._requests.take_apart())
            self._turn()
            if self._requests.take_given_up():
                self._kill_all(_GIVEN_UP)
                self._recorder.renew()
        self._drain()
        return self._exit_code

    def _carry_out(self, asked: Asked) -> None:
        if asked.processes is not None:
            self._pool.resize(asked.processes)
        if asked.restart_at is not None:
            self._pool.restart(asked.restart_at)

    def _turn(self, seconds: float = _TURN_SECONDS) -> None:
        """Waits for something to happen and deals with it."""
        if (pause := self._pool.pause) is not None:
            seconds = min(seconds, pause)
        lines = {child.line.socket: child for child in self._children if not child.line_closed}
        for readable in wait([self._requests.wake_up, *self._template.lines, *lines], seconds):
            if readable in lines:
                self._read(lines[readable])
        self._read_template()
        self._requests.clear_wake_up()
        self._requests.tell_ignored()
        self._enforcer.cancel(self._requests.take_cancellations(), self._children)
        self._enforcer.turn(self._children)
        for do, queues in self._requests.take_passed_on():
            for child in self._children:
                child.send({"do": do, "queues": queues})
        for child in self._children:
            if why := child.stuck():
                log.error("child_stuck", child=child.index, pid=child.pid, cause=why)
                child.kill(why)
            self._reap(child)
        self._orphans.turn(self._children)
        registered, stopping = self._registration.is_registered, self._requests.is_stopping
        alive = self._liveness.look(self._children, is_registered=registered, is_stopping=stopping)
        self._on_turn(alive, self._liveness.unready)
        self._oom.look()

    def _read(self, child: Handle) -> None:
        for message in child.receive():
            match message.get("event"):
                case "types":
                    self._types.receive(child, message)
                case "ready":
                    self._was_ready = True
                    self._types.register(child)
                    self._brakes.tell(child)
                    log.info("child_ready", child=child.index, pid=child.pid)
                    self._pool.is_ready(child)
                case "worn":
                    child.worn = str(message.get("why"))
                case "retiring":
                    self._retired(child, str(message.get("why")))
                case "suspects":
                    self._recorder.look()
                case "misconfigured":
                    child.retiring = child.retiring or not self._was_ready
                    self._misconfigured(str(message.get("message")), child=child.index, pid=child.pid)
                case "broken":
                    child.broke(message)

    def _read_template(self) -> None:
        for message in self._template.receive():
            match message.get("event"):
                case "types":
                    self._types.receive(self._template, message)
                case "misconfigured":
                    self._misconfigured(str(message.get("message")), child="template")

    def _retired(self, child: Handle, why: str) -> None:
        child.retiring = True
        self._look_for(child)
        if not self._requests.is_stopping:
            # One that is told to drain and was not worn is one too many.
            self._on_retired(child.worn or ("rescaled" if why == "drain" else why))

    def _misconfigured(self, message: str, **which: Any) -> None:
        """At the first start every other child would find the same: the worker stops, and says why once. Later, as
        during an update in place, the others go on, and the child is replaced after a pause."""
        if self._was_ready:
            log.error("child_misconfigured", **which, message=message)
            return
        if self._exit_code:
            return
        self._exit_code = EXIT_MISCONFIGURED
        log.critical("worker_misconfigured", message=message)
        if not self._requests.is_stopping:
            self._requests.stop()

    def _reap(self, child: Handle) -> None:
        ended = child.reap()
        if ended is None:
            return
        code, usage = ended
        runs = child.table.header().runs
        self._read(child)  # its last messages say whether it meant to end
        held = self._enforcer.child_ended(child, child.table.entries())
        cause, peak = self._cause(child, code), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        # What has ended may be what broke or killed it.
        by_us, fenced = child.why_killed is not None, child.kill_at is not None or bool(child.ended_lately)
        judged = judge(held, cause, peak, was_killed_by_us=by_us, ran_fenced_attempt=fenced, blamed=child.blamed)
        begun = [f"{e.name}:{e.task_id}" for e in held if e.phase is Phase.BEGUN]
        if judged:
            self._recorder.lost(str(cause), list(judged.values()))
        guilty = {entry.kind for entry, item in judged.items() if item.guilt is Guilt.GUILTY}
        if child.broken and not begun:
            guilty = child.ended_lately if len(child.ended_lately) == 1 else set()
        for kind in guilty:
            self._brakes.ended_its_process(kind)
        self._recorder.requeue_fetched(child.fetcher_id)
        # After `lost`: a heartbeat in between would find claims that are neither held nor being recorded.
        self._children.remove(child)
        child.close()
        self._temp_dirs.child_ended(child.fetcher_id)
        self._look_for(child)
        self._on_exit(child.index, self._why_replaced(child, code))
        if child.is_enforced or (child.retiring and code in {0, self._exit_code}):
            log.info("child_ended", child=child.index, pid=child.pid)
            return
        log.error(
            "child_died", child=child.index, pid=child.pid, cause=str(cause), peak_memory_bytes=peak, running=begun
        )
        self._pool.died(child, ran_tasks=bool(begun) or runs > 0)

    def _look_for(self, child: Handle) -> None:
        """Another child may have to go on with the work that waits for this one in quarantine."""
        if child.quarantine:
            self._recorder.look()

    def _cause(self, child: Handle, code: int) -> Cause | str:
        # What the supervisor says of a child that it killed stands in no failure: the tasks in it are innocent.
        if child.why_killed is not None:
            return child.why_killed
        if child.broken is not None:
            return Cause("thread_ended", {"thread": child.broken})
        return cause_of(code, out_of_memory=code == -signal.SIGKILL and self._oom.happened_lately())

    def _why_replaced(self, child: Handle, code: int) -> str | None:
        # A child in quarantine exits with 0 when nothing waits for it, and none follows it.
        closed = child.quarantine and code == 0
        return None if self._requests.is_stopping or closed else child.why_replaced(code)

    def _drain(self) -> None:
        self._recorder.tell()
        for child in self._children:
            child.send({"do": "drain"})
        if not self._requests.stop_signals:
            # Nothing ends this process soon, as a host does after its signal: the tasks have their own time.
            log.info("worker_draining", children=len(self._children))
            while self._children and not self._requests.stop_signals:
                self._last_turn(_TURN_SECONDS)
        signals = self._requests.stop_signals
        if self._children:
            log.info("worker_draining", children=len(self._children), seconds=self._drain_seconds)
        deadline = time.monotonic() + self._drain_seconds
        while self._children and time.monotonic() < deadline and self._requests.stop_signals == signals:
            self._last_turn(min(_TURN_SECONDS, max(0.01, deadline - time.monotonic())))
        if self._children:
            log.warning("drain_time_over", children=len(self._children))
            self._kill_all("the worker stopped before it was finished")
        self._template.stop()
        self._orphans.end(_LAST_SECONDS)

    def _last_turn(self, seconds: float) -> None:
        self._turn(seconds)
        if self._requests.take_given_up():
            self._kill_all(_GIVEN_UP)

    def _kill_all(self, why: str) -> None:
        for child in self._children:
            child.kill(why)
        while self._children:
            self._turn(0.2)
