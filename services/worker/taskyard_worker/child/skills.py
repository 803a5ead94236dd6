"""What a child can run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from taskyard.catalogue import kits
from taskyard.catalogue.kit import Kit
from taskyard.catalogue.kits import KitsUnusable, LeftOut
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import Catalogue
from taskyard.running import hooks
from taskyard.running.hooks import Hook
from taskyard.settings import Settings


@dataclass(frozen=True, slots=True)
class Skills:
    """Task types with their functions, the keys to secret parameters, and each type's kit and its
    settings by the type's name.

    `queues` are those that the installed kits name; `left_out`: kits whose libraries are missing; `hooks`: those of the
    loaded kits, made of what is `declared`.
    """

    catalogue: Catalogue
    cipher: Cipher
    settings: Mapping[str, Any] = field(default_factory=dict)
    kits: Mapping[str, Kit] = field(default_factory=dict)
    queues: frozenset[str] = frozenset()
    left_out: tuple[LeftOut, ...] = ()
    declared: tuple[tuple[str, object], ...] = ()
    hooks: tuple[Hook, ...] = ()

    @classmethod
    def load(cls, settings: Settings, queues: Collection[str] | None = None) -> Skills:
        """As `prepare`, with the hooks."""
        return cls.prepare(settings, queues).with_hooks()

    @classmethod
    def prepare(cls, settings: Settings, queues: Collection[str] | None = None) -> Skills:
        """Imports the kits for these queues (None: all). The hooks are not made yet: each process makes its own.

        Raises KitsUnusable and SecretsUnreadable with one line for people.
        """
        loaded = kits.load(settings, queues)
        missing = [name for name in loaded.catalogue.names if loaded.catalogue[name].function is None]
        if missing:
            raise KitsUnusable(f"no function implements {', '.join(missing)}")
        cipher = Cipher([key.get_secret_value() for key in settings.secret_keys])
        return cls(loaded.catalogue, cipher, loaded.settings, loaded.kits, loaded.queues, loaded.left_out, loaded.hooks)

    def with_hooks(self) -> Skills:
        """Raises KitsUnusable with one line for people."""
        try:
            return replace(self, hooks=hooks.make(self.declared))
        except ValueError as e:
            raise KitsUnusable(str(e)) from e

    def tell_left_out(self) -> None:
        for kit in self.left_out:
            kit.log()

    @property
    def async_types(self) -> frozenset[str]:
        """The types whose functions are coroutine functions."""
        return frozenset(task_type.name for task_type in self.catalogue if task_type.is_async)
