"""Imports libraries of ours without the large ones that they use where they find them.

structlog imports rich and pygments for tracebacks in colours, redis the SDK of OpenTelemetry, httpx the parts of its
command: a tenth of the memory of a worker, and of the time in which a service starts. We use none of that.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from types import ModuleType

# What each of them is imported without; it says itself that it can be.
WITHOUT = {"structlog": ("rich",), "redis": ("opentelemetry",), "httpx": ("click", "pygments", "rich")}


def leave_out() -> None:
    """From now on, for what was not imported before. The libraries left out can be imported as ever, by task modules
    too."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # Another thread may just import what would be missing.
        if fullname not in WITHOUT or threading.active_count() > 1:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
            return spec
        return spec_from_file_location(fullname, spec.origin, loader=_Loader(fullname, spec.origin))


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        missing = [name for name in WITHOUT[module.__name__] if name not in sys.modules]
        try:
            sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type] # None: it cannot be imported
            super().exec_module(module)
        finally:
            for name in missing:
                sys.modules.pop(name, None)
