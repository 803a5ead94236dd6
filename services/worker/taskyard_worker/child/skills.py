"""What a child can run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from taskyard.catalogue import types as catalogue_types
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import Catalogue
from taskyard.running import implementations
from taskyard.running.implementations import Function
from taskyard.settings import Settings


@dataclass(frozen=True, slots=True)
class Skills:
    """Task types, the function of each by the type's name, and the keys to secret parameters."""

    catalogue: Catalogue
    functions: Mapping[str, Function]
    cipher: Cipher

    @classmethod
    def load(cls, settings: Settings) -> Skills:
        """Imports the task modules; raises whatever is wrong with them or with the keys."""
        catalogue = catalogue_types.load(settings.task_modules, diagnostics=settings.diagnostics)
        return cls(
            catalogue,
            implementations.collect(catalogue, settings.task_modules),
            Cipher([key.get_secret_value() for key in settings.secret_keys]),
        )

    @property
    def async_types(self) -> frozenset[str]:
        """The types whose functions are coroutine functions."""
        return frozenset(name for name, f in self.functions.items() if inspect.iscoroutinefunction(f))
