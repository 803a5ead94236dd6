"""Staffing: which children there should be. It has the missing ones started and sends home those that are too many,
worn, or interrupted; what runs in them is finished first."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from .autoscale import Autoscale
from .handle import Handle
from .restarts import Restarts
from .slots import Phase

log = structlog.stdlib.get_logger(__name__)

_SHORT_LIFE_SECONDS = 10.0


class Staffing:
    """`living` are the children that there are, `spawn` starts one (in quarantine, if so; raises OSError)."""

    def __init__(self, scale: Autoscale, *, living: Callable[[], list[Handle]], spawn: Callable[[bool], None]) -> None:
        self._scale = scale
        self._living = living
        self._spawn = spawn
        self._restarts = {False: Restarts(), True: Restarts()}  # of ordinary children, and of those in quarantine
        self.suspects = 0
        """So many tasks wait to run alone."""

    def turn(self) -> None:
        self._rescale()
        self._dismiss_interrupted()
        self._fill()

    @property
    def pause(self) -> float | None:
        """Seconds until a child may be started that may not be now; None where nobody waits."""
        return min((r.pause for r in self._restarts.values() if r.pause > 0), default=None)

    def relieve(self, successor: Handle) -> None:
        """One of the worn may go, now that somebody is there in its place."""
        for child in self._living():
            if child.worn and not child.retiring and child.quarantine == successor.quarantine:
                _dismiss(child)
                return

    def died(self, child: Handle, *, had_begun: bool) -> None:
        """A child died, with tasks that had begun or without. Those that die young are followed more slowly."""
        if child.quarantine and had_begun:
            return  # which is what it is for, and each task has a budget for it
        if time.monotonic() - child.started < _SHORT_LIFE_SECONDS:
            # A task killed the first ones that were ready, most likely, and the others should not wait.
            self._restarts[child.quarantine].slow_down(free=3 if child.ready else 0)

    def _fill(self) -> None:
        """Starts children until there are enough; slower where they keep dying young."""
        serving = [c.quarantine for c in self._living() if not (c.retiring or c.worn)]
        missing = min(self._scale.wanted - serving.count(False), self._room)
        alone = min(self.suspects, self._scale.maximum) - serving.count(True)
        for quarantine in [False] * missing + [True] * alone:
            if self._restarts[quarantine].pause > 0:
                continue
            try:
                self._spawn(quarantine)
            except OSError as e:
                log.error("child_not_started", error=str(e))  # noqa: TRY400 - the system is short of something
                self._restarts[quarantine].slow_down()

    def _rescale(self) -> None:
        if self._scale.is_fixed:
            return
        serving = [c for c in self._living() if c.ready and not (c.quarantine or c.retiring)]
        held = {c.pid: sum(e.phase is not Phase.FINISHED for e in c.table.entries()) for c in serving}
        fresh = [held[c.pid] for c in serving if not c.worn]
        before = self._scale.wanted
        self._scale.look(fresh)
        wanted = self._scale.wanted
        if wanted != before:
            log.info("worker_rescaled", processes=wanted, before=before)
        if len(fresh) >= wanted:
            idlest = sorted(serving, key=lambda c: (not c.worn, held[c.pid]))
            for child in idlest[: len(serving) - wanted]:
                _dismiss(child)

    def _dismiss_interrupted(self) -> None:
        """They take no more at once, where another child may come in their place."""
        if self._restarts[False].pause > 0:
            return
        worn = [c for c in self._living() if c.worn == "interrupted" and not (c.retiring or c.quarantine)]
        for child in worn[: max(0, self._room)]:
            _dismiss(child)

    @property
    def _room(self) -> int:
        """How many children may be started: what the retiring ones run may take long, and each cancellation makes
        one of them. Those that are killed soon do not count."""
        return 2 * self._scale.maximum - sum(not c.quarantine and c.end_at is None for c in self._living())


def _dismiss(child: Handle) -> None:
    child.retiring = True
    child.say({"do": "drain"})
