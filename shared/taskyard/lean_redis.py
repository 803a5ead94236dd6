"""redis-py without OpenTelemetry's metrics, which it imports wherever they are installed: 3 MB and a tenth of a second
for each process of a service. It would use them only after a call that no service makes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from types import ModuleType

_PACKAGE = "redis"
_HIDDEN = ("opentelemetry.metrics", "opentelemetry.sdk.metrics")


class _Hiding(Loader):
    """While the package is imported, these others seem not to be installed: redis-py does without them then."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        hidden = [name for name in _HIDDEN if name not in sys.modules]
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: an import raises ImportError
        try:
            self._loader.exec_module(module)
        finally:
            for name in hidden:
                del sys.modules[name]


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _PACKAGE:
            return None
        sys.meta_path.remove(self)
        found = find_spec(fullname)
        if found is None or found.loader is None:
            return None
        within = found.submodule_search_locations
        return spec_from_file_location(
            fullname, found.origin, loader=_Hiding(found.loader), submodule_search_locations=within
        )


def lean_redis() -> None:
    """Call it before redis-py is imported: in the package of a service, not in what applications import."""
    if _PACKAGE not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
