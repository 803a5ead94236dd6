"""How a child starts: the template forks it, or it is a program of its own, which imports everything by itself."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from ..control import ForkRequest, Plan, TemplatePlan
from ..programs import CHILD_VARIABLE
from ..slots import SlotTable, table_size
from ..temp_dirs import TempDirs
from .autoscale import Autoscale
from .children import Children
from .handle import Handle, Process
from .line import Line
from .registration import Registration
from .starting import Forked, restored, spawn
from .template import Template


def template_plan(registration: Registration, children: Children, overrides: dict[str, Any]) -> TemplatePlan:
    """`overrides` are settings from the command line."""
    return TemplatePlan(registration.name, registration.queues, overrides, kits_of(children))


def kits_of(children: Children) -> list[str]:
    """Those that ready children have loaded."""
    return sorted({spec.kit for child in children if child.ready for spec in child.types.values()})


@dataclass(frozen=True, slots=True)
class Starter:
    """Belongs to the main thread. `overrides` are settings from the command line; `environment` says what a child of an
    index has in its environment beside the worker's own. A child has to be ready within `start_seconds`."""

    template: Template
    registration: Registration
    children: Children
    scale: Autoscale
    threads: int
    overrides: dict[str, Any]
    environment: Callable[[int], Mapping[str, str]]
    start_seconds: float
    temp_dirs: TempDirs

    def start(self, index: int, quarantined: bool) -> Handle:
        """Raises OSError."""
        plan = self._plan(index, quarantined)
        child = self._begin(plan, self._fork) or self._begin(plan, self._spawn)
        assert child is not None, "what is spawned is there"
        child.send(asdict(plan))
        return child

    def _begin(self, plan: Plan, begin: Callable[[Plan, int, SlotTable], Process | None]) -> Handle | None:
        """With a line and a table of its own: a process that the template has forked without telling so finds its line
        closed, and ends."""
        ours, theirs = socket.socketpair()
        table = SlotTable.create(table_size(plan.threads))
        process = None
        try:
            process = begin(plan, theirs.fileno(), table)
        finally:
            theirs.close()
            table.hand_down()
            if process is None:
                ours.close()
                table.close()
        if process is None:
            return None
        is_forked = isinstance(process, Forked)
        return Handle(
            plan.index,
            process,
            Line(ours, plan.index),
            table,
            started=time.monotonic(),
            fetcher_id=plan.fetcher_id,
            start_seconds=self.start_seconds,
            quarantine=plan.quarantine,
            why_spawned=None if is_forked else self.template.why_spawned,
            types=self.template.types if is_forked else {},
        )

    def _fork(self, plan: Plan, control_fd: int, table: SlotTable) -> Process | None:
        request = ForkRequest({**restored(), **self._environment(plan)}, table.size)
        return self.template.fork(request, control_fd, table.fd)

    def _spawn(self, plan: Plan, control_fd: int, table: SlotTable) -> Process:
        return spawn(
            "taskyard_worker.child.process",
            *(control_fd, table.fd, table.size),
            fds=(control_fd, table.fd),
            environment={**os.environ, **self._environment(plan)},
        )

    def _environment(self, plan: Plan) -> dict[str, str]:
        return {**self.environment(plan.index), CHILD_VARIABLE: plan.fetcher_id}

    def _plan(self, index: int, quarantined: bool) -> Plan:
        fetcher_id = str(uuid4())
        return Plan(
            worker_id=str(self.registration.worker_id),
            worker=self.registration.name,
            index=index,
            queues=self.registration.queues,
            processes=self.scale.maximum,
            threads=self.threads,
            overrides=self.overrides,
            fetcher_id=fetcher_id,
            temp_dir=str(self.temp_dirs.of_child(fetcher_id)),
            quarantine=quarantined,
            kits=kits_of(self.children),
        )
