"""The manifest of a kit, and what it declares. Alone in its module: importing a kit costs nothing but that."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingSchedule:
    """A schedule that the leader makes once, when the type `task` first registers, and that then is people's: they may
    change, pause or delete it.

    One of `cron`, in UTC unless `timezone` names another zone, and `every_seconds`. `params` are those of the task.
    """

    name: str
    task: str
    cron: str | None = None
    timezone: str | None = None
    every_seconds: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def trigger(self) -> dict[str, Any]:
        parts = {"cron": self.cron, "timezone": self.timezone, "every_seconds": self.every_seconds}
        return {name: value for name, value in parts.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Kit:
    """The manifest of a kit.

    `modules` hold its task types. `queues` are those that its tasks are for (None: all). `settings` names a class,
    `module:Class`, that is made from the environment; its object is the `context.settings` of the kit's tasks.
    `diagnostic`: only loaded where TASKYARD_DIAGNOSTICS is set. `hooks` name classes, `module:Class`, that watch every
    run of a process that loads the kit (`taskyard.Hook`). `schedules` are made once, when their type first registers.
    `libraries` are those that its tasks import when they run: a kit is left out where one is missing, as where a module
    cannot import one.
    `forks`: whether a process that has imported the modules may be forked; else each child of its workers imports them.

    Raises ValueError for a name other than a lower-case letter, then letters, digits, `_` or `-`, at most 63.
    """

    name: str
    modules: tuple[str, ...]
    queues: tuple[str, ...] | None = None
    settings: str | None = None
    diagnostic: bool = False
    hooks: tuple[str, ...] = ()
    schedules: tuple[StandingSchedule, ...] = ()
    forks: bool = True
    libraries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name[:80]!r} cannot name a kit: at most 63 lower-case letters, digits, '_' and '-'"
            )

    def serves(self, queues: Collection[str]) -> bool:
        """Whether the kit has a queue in common with these."""
        return self.queues is None or not set(self.queues).isdisjoint(queues)
