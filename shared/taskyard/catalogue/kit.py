"""The manifest of a kit. Alone in its module, so that importing a kit costs nothing but that."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Kit:
    """The manifest of a kit.

    `modules` hold its task types. `queues` are those that its tasks are for (None: all). `settings` names a class,
    `module:Class`, that is made from the environment; its object is the `context.settings` of the kit's tasks.
    `diagnostic`: only loaded where TASKYARD_DIAGNOSTICS is set. `hooks` name classes, `module:Class`, that watch every
    run of a process that loads the kit (`taskyard.Hook`).

    Raises ValueError for a name other than a lower-case letter, then letters, digits, `_` or `-`, at most 63.
    """

    name: str
    modules: tuple[str, ...]
    queues: tuple[str, ...] | None = None
    settings: str | None = None
    diagnostic: bool = False
    hooks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name[:80]!r} cannot name a kit: at most 63 lower-case letters, digits, '_' and '-'"
            )

    def serves(self, queues: Collection[str]) -> bool:
        """Whether the kit has a queue in common with these."""
        return self.queues is None or not set(self.queues).isdisjoint(queues)
