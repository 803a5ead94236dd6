"""Kits: packages of task types, and which of them a process loads.

A kit's manifest is found by its entry point (group `taskyard.kits`) and imports no library. Its modules are imported
only where a worker serves one of its queues. A module in `TASKYARD_TASK_MODULES` is a kit of its own, for all queues.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import structlog

from ..environment import InvalidSettings, read_kit_settings
from ..settings import Settings
from .kit import NAME, Kit
from .types import Catalogue, TaskType, type_of

log = structlog.stdlib.get_logger(__name__)

ENTRY_POINTS = "taskyard.kits"
# The platform's own, which a process loads whatever TASKYARD_KITS names.
_OWN_KIT = "taskyard"


class KitsUnusable(Exception):
    """The kits cannot be loaded; the message is one line for people."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A kit that was not loaded because a library is missing. `install` is what would bring it."""

    kit: str
    module: str
    error: str
    install: str

    def log(self) -> None:
        log.warning("kit_left_out", kit=self.kit, module=self.module, error=self.error, install=self.install)


@dataclass(frozen=True, slots=True)
class Installed:
    """A kit and what it was found by; `is_module`: it is a module of TASKYARD_TASK_MODULES."""

    kit: Kit
    point: EntryPoint | None = None
    is_module: bool = False

    @property
    def install(self) -> str:
        """What brings the kit's libraries. Reading it takes milliseconds."""
        if self.point is None or self.point.dist is None:
            return ""
        extras = self.point.dist.metadata.get_all("Provides-Extra") or []
        name = self.point.dist.name
        return f"{name}[{self.kit.name}]" if self.kit.name in extras else name


@dataclass(frozen=True)
class Loaded:
    """What was loaded. `kits` holds the kit of every task type by the type's name, `queues` every queue that the
    manifests of all installed kits and the loaded types name. `hooks` are classes or objects, by where they were found;
    `taskyard.running.hooks` makes hooks of them."""

    catalogue: Catalogue
    kits: Mapping[str, Kit]
    queues: frozenset[str]
    left_out: tuple[LeftOut, ...] = ()
    hooks: tuple[tuple[str, object], ...] = ()

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The settings of its kit for every task type, by the type's name; read once.

        Raises KitsUnusable with one line that names the variable.
        """
        made = {kit: settings_of(kit) for kit in dict.fromkeys(self.kits.values())}
        return {name: made[kit] for name, kit in self.kits.items()}


def load(settings: Settings, queues: Collection[str] | None = None) -> Loaded:
    """Imports the kits for a worker of these queues (None: of all), or those that TASKYARD_KITS names.

    A kit whose library is missing is left out. Raises KitsUnusable for everything else that is wrong.
    """
    every = installed(settings)
    types: dict[str, TaskType[Any, Any]] = {}
    kits: dict[str, Kit] = {}
    hooks: list[tuple[str, object]] = []
    left_out: list[LeftOut] = []
    for one in _wanted(every, settings, queues):
        try:
            _look_for_libraries(one)
            if one.kit.settings is not None:
                _import(one, one.kit.settings.partition(":")[0])
            found, its_hooks = _types_of(one), list(_hooks_of(one))
        except _Missing as e:
            left_out.append(e.left_out)
            continue
        hooks += its_hooks
        for task_type in found:
            if types.setdefault(task_type.name, task_type) is not task_type:
                raise KitsUnusable(
                    f"the task type {task_type.name!r} is declared twice: {kits[task_type.name].name}, {one.kit.name}"
                )
            kits[task_type.name] = one.kit
    try:
        catalogue = Catalogue(types.values())
    except ValueError as e:
        raise KitsUnusable(str(e)) from e
    named = {queue for one in every for queue in one.kit.queues or ()}
    return Loaded(catalogue, kits, frozenset(named | {t.queue for t in catalogue}), tuple(left_out), tuple(hooks))


def installed(settings: Settings) -> list[Installed]:
    """The kits with an entry point, by name, then the modules of TASKYARD_TASK_MODULES. Raises KitsUnusable."""
    found: dict[str, Installed] = {}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)):
        kit = _manifest(point)
        other = found.setdefault(kit.name, Installed(kit, point))
        if other.kit != kit:
            raise KitsUnusable(f"two kits have the name {kit.name!r}: {other.kit.modules} and {kit.modules}")
    return [*found.values(), *(Installed(_unnamed(module), is_module=True) for module in settings.task_modules)]


def settings_of(kit: Kit) -> Any:
    """An object of the kit's settings class, from the environment; None where it has none. Raises KitsUnusable."""
    if kit.settings is None:
        return None
    module, _, name = kit.settings.partition(":")
    try:
        return read_kit_settings(getattr(importlib.import_module(module), name))
    except InvalidSettings as e:
        raise KitsUnusable(str(e)) from e
    except Exception as e:  # a class of a kit may raise anything
        raise KitsUnusable(f"the settings of the kit {kit.name!r}: {_said(e)}") from e


def without_fork(settings: Settings, queues: Collection[str]) -> str | None:
    """The first of these that `load` would import that must not be forked, if there is one. Raises KitsUnusable."""
    return next((one.kit.name for one in _wanted(installed(settings), settings, queues) if not one.kit.forks), None)


def kit_of(module: str, settings: Settings) -> Kit | None:
    """The installed kit that a module belongs to, if any. Raises KitsUnusable."""
    return next((one.kit for one in installed(settings) if any(_holds(m, module) for m in one.kit.modules)), None)


def _manifest(point: EntryPoint) -> Kit:
    try:
        kit = point.load()
    except Exception as e:  # a package may raise anything at its import
        raise KitsUnusable(f"the kit {point.name!r} ({point.value}): {_said(e)}") from e
    if not isinstance(kit, Kit):
        raise KitsUnusable(f"the kit {point.name!r}: {point.value} is no taskyard.Kit")
    return kit


def _unnamed(module: str) -> Kit:
    name = re.sub(r"[^a-z0-9_-]", "-", module.lower())[:63]
    return Kit(name if NAME.fullmatch(name) else f"m{name}"[:63], (module,))


def _wanted(every: Iterable[Installed], settings: Settings, queues: Collection[str] | None) -> Iterator[Installed]:
    every = [one for one in every if settings.diagnostics or not one.kit.diagnostic]
    unknown = sorted(set(settings.kits) - {one.kit.name for one in every})
    if unknown:
        names = ", ".join(one.kit.name for one in every if not one.is_module) or "none"
        raise KitsUnusable(f"TASKYARD_KITS: there is no kit {', '.join(map(repr, unknown))}; installed: {names}")
    for one in every:
        by_name = one.kit.name in settings.kits if settings.kits else queues is None or one.kit.serves(queues)
        if one.is_module or by_name or one.kit.name == _OWN_KIT:
            yield one


class _Missing(Exception):
    """A library of a kit is missing."""

    def __init__(self, left_out: LeftOut) -> None:
        super().__init__(left_out.error)
        self.left_out = left_out


def _import(one: Installed, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as e:
        if one.is_module:
            raise KitsUnusable(f"TASKYARD_TASK_MODULES: {_said(e)}") from e
        if isinstance(e, ImportError) and not _is_of(one.kit, e.name or ""):
            raise _Missing(LeftOut(one.kit.name, name, _said(e), one.install)) from e
        raise KitsUnusable(f"the kit {one.kit.name!r}, {name}: {_said(e)}") from e


def _look_for_libraries(one: Installed) -> None:
    """Those that its tasks import: none of them is imported here."""
    for library in one.kit.libraries:
        if find_spec(library) is None:
            error = ModuleNotFoundError(f"No module named {library!r}")
            raise _Missing(LeftOut(one.kit.name, one.kit.modules[0], _said(error), one.install))


def _is_of(kit: Kit, module: str) -> bool:
    """Whether the module that an import wanted is the kit's own: then no library is missing."""
    return any(_holds(own, module) for own in kit.modules)


def _types_of(one: Installed) -> list[TaskType[Any, Any]]:
    found: dict[int, TaskType[Any, Any]] = {}
    for name in one.kit.modules:
        for value in vars(_import(one, name)).values():
            task_type = type_of(value)
            if task_type is not None and _is_own(task_type, name):
                found[id(task_type)] = task_type
    return list(found.values())


def _hooks_of(one: Installed) -> Iterator[tuple[str, object]]:
    """Those that the manifest names, or `HOOKS` of a module that has no manifest."""
    for place in one.kit.hooks:
        module, _, name = place.partition(":")
        value = getattr(_import(one, module), name, None)
        if value is None:
            raise KitsUnusable(f"the kit {one.kit.name!r}: there is no hook {place!r}")
        yield place, value
    for module in one.kit.modules if one.is_module else ():
        hooks = getattr(_import(one, module), "HOOKS", ())
        if not isinstance(hooks, tuple | list):
            raise KitsUnusable(f"TASKYARD_TASK_MODULES: {module}.HOOKS must be a list or a tuple of hooks")
        yield from ((f"{module}:HOOKS[{n}]", hook) for n, hook in enumerate(hooks))


def _is_own(task_type: TaskType[Any, Any], module: str) -> bool:
    """Whether it is declared by this module's package. What a module imports from elsewhere, to submit it, is not."""
    return task_type.function is None or _holds(module, task_type.function.__module__)


def _holds(module: str, other: str) -> bool:
    package = module.rpartition(".")[0] or module
    return other in {module, package} or other.startswith(f"{package}.")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
