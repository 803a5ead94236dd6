"""A worker's child process: `python -m taskyard_worker.child_process CONTROL_FD SLOTS_FD SLOTS_SIZE PARENT`,
started by the supervisor. It listens to the supervisor, and ends with it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import structlog

from taskyard import failpoints
from taskyard.catalogue.secrets import SecretsUnreadable
from taskyard.environment import InvalidSettings, read_settings
from taskyard.telemetry.logging import set_up_logging

from . import capture, implementations, oom
from .child import Child, Skills
from .control import HELD_SIGNALS, Control, Plan, die_with_parent
from .slots import SlotTable

log = structlog.stdlib.get_logger(__name__)

EXIT_MISCONFIGURED = 2
_TICK_SECONDS = 0.25
# Nobody came to take its place: whoever grows must end all the same.
_SUCCESSOR_SECONDS = 30.0
_RETIRING_TICK_SECONDS = 0.03
_LAST_SECONDS = 5.0


def in_one_line(error: Exception) -> str:
    """What is wrong, for people; the kind of an error that nobody foresaw as well."""
    said = " ".join(str(error).split())
    known = isinstance(error, InvalidSettings | SecretsUnreadable | implementations.Unimplemented)
    return said if known else f"TASKYARD_TASK_MODULES: {type(error).__name__}: {said}"


def main(argv: Sequence[str]) -> int:
    control_fd, slots_fd, slots_size, parent = (int(a) for a in argv)
    die_with_parent(parent)
    oom.offer()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides what that means
    asked = {"stop": False}
    signal.signal(signal.SIGTERM, lambda *_: asked.update(stop=True))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)
    control = Control(control_fd)
    first = control.hear(30.0)
    if first is None:
        return 1
    plan = Plan(**first)
    try:
        settings = read_settings(**plan.overrides)
        set_up_logging(
            "worker",
            level=settings.log_level,
            style=settings.log_format,
            process=f"{plan.worker}:{plan.index}",
        )
        skills = Skills.load(settings)
        failpoints.arm(settings.failpoints, settings.failpoints_dir)
    except Exception as e:  # noqa: BLE001 - a task module may raise anything; the supervisor says it once for all
        control.say(event="misconfigured", message=in_one_line(e))
        return EXIT_MISCONFIGURED
    capture.install()
    child = Child(plan, settings, skills, SlotTable(slots_fd, slots_size))
    child.start()
    child.keep()
    control.say(event="ready", pid=os.getpid())
    _serve(child, control, lambda: asked["stop"])
    child.stop()
    if child.has_abandoned:
        logging.shutdown()
        os._exit(0)  # a thread that does not end would be waited for
    _end_soon()
    return 0


def _end_soon() -> None:
    """Python waits for threads that tasks have left behind, and for what they registered to be done at the end. Neither
    may keep for ever a process that nobody uses any more."""
    timer = threading.Timer(_LAST_SECONDS, os._exit, [0])
    timer.daemon = True
    timer.start()


def _serve(child: Child, control: Control, asked_to_stop: Callable[[], bool]) -> None:
    """Keeps the child until it has retired and nothing is left to do."""
    retiring = False
    worn, worn_at = None, 0.0
    while not child.is_done:
        why = _obey(child, control.hear(_RETIRING_TICK_SECONDS if retiring else _TICK_SECONDS))
        child.keep()
        if child.met_suspects():
            control.say(event="suspects")
        if asked_to_stop():
            why = "terminated"
        if worn != "max_memory" and (reason := child.why_worn()) not in {None, worn}:
            worn, worn_at = reason, time.monotonic()
            log.info("child_worn", why=worn)
            control.say(event="worn", why=worn)
        why = why or child.why_retire()
        if worn == "max_memory" and time.monotonic() - worn_at > _SUCCESSOR_SECONDS:
            why = why or worn
        if why and not retiring:
            retiring = True
            log.info("child_retiring", why=why)
            control.say(event="retiring", why=why)
            child.retire()


def _obey(child: Child, message: dict[str, Any] | None) -> str | None:
    """Does as the supervisor says; returns why to retire, where that follows."""
    match message:
        case {"do": "drain"}:
            return "drain"
        case {"do": "cancel", "task": task, "claim": claim}:
            child.deliveries.cancel(UUID(task), UUID(claim))
        case {"do": "abandon", "task": task, "claim": claim}:
            child.abandon(UUID(task), UUID(claim))
            return "abandoned"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
