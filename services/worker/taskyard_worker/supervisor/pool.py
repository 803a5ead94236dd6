"""The child pool: which children there should be. It starts those that are missing and retires those that are too many,
worn, or interrupted. What runs in a retiring child is finished first.

Ordinary children and children in quarantine are counted apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import structlog

from taskyard.domain.processes import ProcessRange

from ..slots import Phase
from .autoscale import Autoscale
from .children import Children
from .handle import Handle
from .restarts import SHORT_LIFE_SECONDS, Restarts
from .template import Template

log = structlog.stdlib.get_logger(__name__)


class ChildPool:
    """Belongs to the supervisor's main thread. `start` starts a child with an index, in quarantine or not. While the
    `template` starts, children wait for it."""

    def __init__(
        self, scale: Autoscale, children: Children, template: Template, start: Callable[[int, bool], Handle]
    ) -> None:
        self._scale = scale
        self._children = children
        self._template = template
        self._start = start
        # Of ordinary children, and of those in quarantine: neither delays the others.
        self._restarts = {False: Restarts(), True: Restarts()}
        self._outdated: set[int] = set()  # pids of children to be replaced
        self._largest = scale.maximum
        self._restart_at: datetime | None = None  # when the last restart was asked that has begun
        self._before_restart: set[int] = set()  # pids of children that have to end before it is done
        self.restarted_at: datetime | None = None
        """When the last restart was asked that is done."""

    @property
    def bounds(self) -> ProcessRange:
        """How many ordinary children there may be."""
        return self._scale.bounds

    def turn(self, apart: int) -> None:
        """`apart` is the number of children in quarantine that there is work for, beside those that are busy."""
        self._template.turn()
        self._rescale()
        self._replace_next()
        self._look_at_restart()
        self._retire_interrupted()
        if not self._template.is_awaited:
            self._fill(apart)

    @property
    def pause(self) -> float | None:
        """Seconds until a child may start that may not start now; None where none waits."""
        return min((r.pause for r in self._restarts.values() if r.pause > 0), default=None)

    def is_ready(self, child: Handle) -> None:
        """The child takes tasks now: it replaces a worn one."""
        child.ready = True
        for other in self._children:
            if other.worn and not other.retiring and other.quarantine == child.quarantine:
                other.retire()
                return

    def died(self, child: Handle, *, ran_tasks: bool) -> None:
        """A child died; `ran_tasks` says whether a task had begun in it. If so, the task may have ended it, and the
        other tasks do not wait for that: the tasks' own limits and `Brakes` bound it. Others that die young, or
        before they are ready, are followed more slowly."""
        is_young = not child.ready or time.monotonic() - child.started < SHORT_LIFE_SECONDS
        if is_young and not ran_tasks:
            self._restarts[child.quarantine].slow_down()

    def replace_all(self) -> None:
        """Replaces the template, and all children that there are now, one after the other."""
        self._template.renew()
        self._outdated = {child.pid for child in self._children if not (child.retiring or child.quarantine)}
        for child in self._children:
            if child.quarantine and not child.retiring:
                child.retire()  # it is followed where suspects wait

    def restart(self, asked_at: datetime) -> None:
        """Replaces all children, once for each time at which that was asked."""
        if asked_at == self._restart_at:
            return
        self._restart_at = asked_at
        self._before_restart = {child.pid for child in self._children}
        log.info("worker_restarting", children=len(self._children))
        self.replace_all()

    def resize(self, bounds: ProcessRange) -> None:
        """Keeps so many children from now on. Those that are too many finish what they have."""
        if bounds == self.bounds:
            return
        log.info("worker_resized", processes=str(bounds), before=str(self.bounds))
        self._largest = max(self._largest, bounds.maximum)
        self._scale.resize(bounds)

    def _look_at_restart(self) -> None:
        if self.restarted_at == self._restart_at:
            return
        self._before_restart &= {child.pid for child in self._children}
        if not self._before_restart:
            self.restarted_at = self._restart_at

    def _replace_next(self) -> None:
        outdated = [c for c in self._children if c.pid in self._outdated and not c.retiring]
        self._outdated = {child.pid for child in outdated}
        if any(child.worn for child in outdated):
            return  # its successor is on the way
        for child in outdated:
            if child.ready:
                child.worn = "reload"
                return

    def _fill(self, apart: int) -> None:
        serving = [c for c in self._children if not (c.retiring or c.worn)]
        ordinary = [c for c in serving if not c.quarantine]
        missing = min(self._scale.wanted - len(ordinary), self._room)
        # The rule is step 5 of the story that `quarantine` tells.
        alone = [c for c in serving if c.quarantine]
        idle = sum(not list(c.table.entries()) for c in alone)
        more = min(apart - idle, self._scale.maximum - len(alone))
        for quarantined in [False] * missing + [True] * more:
            if self._restarts[quarantined].pause > 0:
                continue
            try:
                child = self._start(self._children.free_index(), quarantined)
            except OSError as e:
                log.error("child_not_started", error=str(e))  # noqa: TRY400 - the system is short of something
                self._restarts[quarantined].slow_down()
                continue
            self._children.add(child)
            log.info("child_started", child=child.index, pid=child.pid, quarantine=quarantined)

    def _rescale(self) -> None:
        serving = [c for c in self._children if c.ready and not (c.quarantine or c.retiring)]
        if self._scale.is_fixed and len(serving) <= self._scale.wanted:
            return
        held = {c.pid: sum(e.phase is not Phase.FINISHED for e in c.table.entries()) for c in serving}
        fresh = [held[c.pid] for c in serving if not c.worn]
        before = self._scale.wanted
        if not self._scale.is_fixed:
            self._scale.look(fresh)
        wanted = self._scale.wanted
        if wanted != before:
            log.info("worker_rescaled", processes=wanted, before=before)
        if len(fresh) >= wanted:
            idlest = sorted(serving, key=lambda c: (not c.worn, held[c.pid]))
            for child in idlest[: len(serving) - wanted]:
                child.retire()

    def _retire_interrupted(self) -> None:
        """At once, unlike other worn children, where another child may start in their place."""
        if self._template.is_awaited or self._restarts[False].pause > 0:
            return
        worn = [c for c in self._children if c.worn == "interrupted" and not (c.retiring or c.quarantine)]
        for child in worn[: max(0, self._room)]:
            child.retire()

    @property
    def _room(self) -> int:
        """How many ordinary children may start. Retiring children count, because their tasks may take long and each
        cancellation makes one of them; those that will be killed soon do not. After a reduction, the many that retire
        must not keep the few that stay from being replaced."""
        ordinary = sum(not c.quarantine and c.kill_at is None for c in self._children)
        if ordinary <= self._scale.maximum:
            self._largest = self._scale.maximum
        return 2 * self._largest - ordinary
