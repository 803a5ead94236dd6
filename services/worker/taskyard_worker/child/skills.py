"""What a child can run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
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
    loaded kits.
    """

    catalogue: Catalogue
    cipher: Cipher
    settings: Mapping[str, Any] = field(default_factory=dict)
    kits: Mapping[str, Kit] = field(default_factory=dict)
    queues: frozenset[str] = frozenset()
    left_out: tuple[LeftOut, ...] = ()
    hooks: tuple[Hook, ...] = ()

    @classmethod
    def load(cls, settings: Settings, queues: Collection[str] | None = None) -> Skills:
        """Imports the kits for these queues (None: all).

        Raises KitsUnusable and SecretsUnreadable with one line for people.
        """
        loaded = kits.load(settings, queues)
        missing = [name for name in loaded.catalogue.names if loaded.catalogue[name].function is None]
        if missing:
            raise KitsUnusable(f"no function implements {', '.join(missing)}")
        cipher = Cipher([key.get_secret_value() for key in settings.secret_keys])
        try:
            made = hooks.make(loaded.hooks)
        except ValueError as e:
            raise KitsUnusable(str(e)) from e
        return cls(loaded.catalogue, cipher, loaded.settings, loaded.kits, loaded.queues, loaded.left_out, made)

    @property
    def async_types(self) -> frozenset[str]:
        """The types whose functions are coroutine functions."""
        return frozenset(task_type.name for task_type in self.catalogue if task_type.is_async)
