"""The main of a child process: `python -m taskyard_worker.child.process CONTROL_FD SLOTS_FD SLOTS_SIZE PARENT`.

The supervisor starts it so, or the template forks it (`template.py`), which calls `run`. It obeys the supervisor, and
ends with it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from uuid import UUID

from taskyard import garbage

if __name__ == "__main__":  # before the imports that take long
    garbage.rarely_until_started()

import structlog

from taskyard import failpoints, signals
from taskyard.catalogue.kits import KitsUnusable
from taskyard.catalogue.secrets import SecretsUnreadable
from taskyard.environment import InvalidSettings, read_settings
from taskyard.running import capture
from taskyard.settings import Settings
from taskyard.telemetry.exports import start_exports
from taskyard.telemetry.logging import name_process, set_up_logging
from taskyard.telemetry.trace_variables import ExportsMisconfigured

from ..control import EXIT_BROKEN, EXIT_MISCONFIGURED, Control, Plan, die_with_parent
from ..memory import prefer_this_process
from ..programs import CHILD, mark_this, name_this
from ..slots import SlotTable
from .child import Child
from .composition import compose
from .connections import Connections
from .copies import detach_copies
from .report import report
from .skills import Skills
from .wear import RESOURCES

log = structlog.stdlib.get_logger(__name__)

# A child above a limit of its resources retires after so long, even where no other child has replaced it.
_SUCCESSOR_SECONDS = 30.0
_LAST_SECONDS = 5.0
# Longer than `Child.save` waits for servers.
_BROKEN_SECONDS = 10


# What a child has in common with its siblings.
Loaded = tuple[Settings, Skills, Connections]


def in_one_line(error: BaseException) -> str:
    """What is wrong, for people; with its type, where it is not an error of ours."""
    message = " ".join(str(error).split())
    known = isinstance(error, InvalidSettings | SecretsUnreadable | KitsUnusable | ExportsMisconfigured)
    return message if known else f"{type(error).__name__}: {message}"


@dataclass(frozen=True, slots=True)
class Birth:
    """The descriptors of a child's control line and slot table, the entries of that table, and its supervisor's pid."""

    control_fd: int
    slots_fd: int
    slots: int
    parent: int


def main(argv: Sequence[str]) -> int:
    """Of a child that was spawned."""
    return run(Birth(*map(int, argv)))


def run(birth: Birth, loaded: Loaded | None = None) -> int:
    """A child, until it has retired; returns its exit code. `loaded`: by the template that has forked it, which has
    reported the task types."""
    prefer_this_process()
    name_this(CHILD)
    mark_this()
    terminated: list[int] = []  # not an Event: its lock would not survive a second signal during the first
    # A terminal's Ctrl-C, Ctrl-\ and hang-up are for the supervisor, which tells its children.
    handlers: dict[int, signals.Handler] = {signal.SIGTERM: lambda number, _: terminated.append(number)}
    signals.take(handlers | dict.fromkeys(signals.OF_PYTHON, signals.nothing))
    control = Control(birth.control_fd, birth.parent)
    detach_copies(control.detach)  # before task modules are imported
    try:
        first = control.receive(30.0)
    except ConnectionError:  # the supervisor has not heard of this process
        first = None
    if first is None:
        return 1
    die_with_parent(birth.parent)  # which the supervisor is by now, also where the template has forked this process
    plan = Plan(**first)
    try:
        settings, skills, connections = _load(plan) if loaded is None else loaded
        name_process(plan.label)
        connections.label = plan.label  # of this process, as the above
        skills = skills.with_hooks()
        exports = start_exports("worker", settings, process=plan.label)
    except (Exception, SystemExit) as e:  # noqa: BLE001 - a task module may raise anything; the supervisor logs it once
        control.send(event="misconfigured", message=in_one_line(e))
        return EXIT_MISCONFIGURED
    if loaded is None:
        skills = replace(skills, catalogue=report(control, skills.catalogue, skills.kits))
    capture.install()
    slots = SlotTable(birth.slots_fd, birth.slots)
    slots.hand_down()
    child = compose(plan, settings, skills, connections, slots, exports)
    child.start()
    child.turn()
    garbage.started()
    control.send(event="ready", pid=os.getpid())
    try:
        _Keeper(child, control, terminated).run()
    except BaseException as e:  # noqa: BLE001 - a task can raise anything into this thread
        _end_broken(child, control, e)
    child.stop()
    exports.stop()
    if child.has_abandoned:
        logging.shutdown()
        os._exit(0)  # a thread that may never end would be waited for
    _end_soon()
    return 0


def _load(plan: Plan) -> Loaded:
    settings = read_settings(**plan.overrides)
    skills = load(settings, plan.queues, needs=plan.kits, label=plan.label)
    if plan.index == 0:  # every child finds the same
        skills.tell_left_out()
    return settings, skills, Connections(settings, plan.label)


def load(settings: Settings, queues: Collection[str], *, needs: Collection[str], label: str) -> Skills:
    """Imports what is the same in all children. `needs`: kits that children run already. `label` names the process in
    logs."""
    set_up_logging("worker", level=settings.log_level, style=settings.log_format, process=label)
    skills = Skills.prepare(settings, queues)
    # What the newest child reports is what the worker registers: without it the tasks of the others would wait.
    if lost := next((kit for kit in skills.left_out if kit.kit in needs), None):
        raise KitsUnusable(
            f"the kit {lost.kit}, which other children of this worker run, cannot be loaded: {lost.error}"
        )
    failpoints.arm(settings.failpoints, settings.failpoints_dir)
    return skills


class _ThreadEnded(Exception):
    """A task has ended a thread of the platform."""


def _end_broken(child: Child, control: Control, error: BaseException) -> NoReturn:
    """What the child does is not to be trusted any more. To its supervisor the end is a crash of the tasks that run."""
    try:
        # By the kernel: a thread that was ended from outside may have left anything locked that is needed below.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_BROKEN_SECONDS)
        thread = str(error) if isinstance(error, _ThreadEnded) else "main"
        with suppress(ConnectionError):
            control.send(event="broken", thread=thread, kinds=sorted(child.ended_lately()))
        with suppress(Exception):  # its output may be closed
            log.error("child_broken", thread=thread, error=type(error).__name__, reason=str(error))
        child.save()
        logging.shutdown()
    finally:
        os._exit(EXIT_BROKEN)


def _end_soon() -> None:
    """Python waits for threads that tasks left behind and for their exit handlers. Neither may keep the process for
    ever."""
    timer = threading.Timer(_LAST_SECONDS, os._exit, [0])
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:  # no thread is left
        logging.shutdown()
        os._exit(0)


class _Keeper:
    """Keeps a child until it has retired and nothing is left to do, and tells the supervisor what it needs to know.
    `terminated` is not empty once SIGTERM has come."""

    def __init__(self, child: Child, control: Control, terminated: list[int]) -> None:
        self._child = child
        self._control = control
        self._terminated = terminated
        self._worn: str | None = None
        self._worn_at = 0.0
        self._retiring = False

    def run(self) -> None:
        """Raises _ThreadEnded, and whatever a task raises into the main thread."""
        while not self._child.is_done:
            if (thread := self._child.broken_thread()) is not None:
                raise _ThreadEnded(thread)
            why = self._obey(self._control.receive(self._child.next_turn()))
            self._child.turn()
            if self._child.met_suspects():
                self._control.send(event="suspects")
            self._report_wear()
            if self._terminated:
                why = "terminated"
            why = why or self._child.why_retire() or self._waited_for_successor()
            if why and not self._retiring:
                self._retiring = True
                log.info("child_retiring", why=why)
                self._control.send(event="retiring", why=why)
                self._child.retire()

    def _obey(self, message: dict[str, Any] | None) -> str | None:
        """Does as the supervisor says; returns why to retire, if so."""
        match message:
            case {"do": "drain"}:
                return "drain"
            case {"do": "cancel", "task": task, "claim": claim}:
                self._child.cancel(UUID(task), UUID(claim))
            case {"do": "abandon", "task": task, "claim": claim}:
                self._child.abandon(UUID(task), UUID(claim))
                return "abandoned"
            case {"do": "slow", "until": dict(until)}:
                self._child.slow(until)
            case {"do": "resume", "queues": list(queues)}:
                self._child.resume(queues)
            case {"do": "recall", "queues": list(queues)}:
                self._child.recall(queues)
        return None

    def _report_wear(self) -> None:
        if self._worn not in RESOURCES and (worn := self._child.why_worn()) and worn.why != self._worn:
            self._worn, self._worn_at = worn.why, time.monotonic()
            log.info("child_worn", why=worn.why, used=worn.used, limit=worn.limit)
            self._control.send(event="worn", why=worn.why)

    def _waited_for_successor(self) -> str | None:
        if self._worn in RESOURCES and time.monotonic() - self._worn_at > _SUCCESSOR_SECONDS:
            return self._worn
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
