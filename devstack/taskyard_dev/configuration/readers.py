"""Who reads which setting, by the source: each service's modules and what they import, and the manifests of kits."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import grimp
from pydantic_settings import BaseSettings

from taskyard import commands
from taskyard.catalogue.kits import installed
from taskyard.service_settings import DatabaseSettings
from taskyard.settings import Settings

SERVICES = ("api", "worker", "scheduler", "console")
# These are read by the validators of another field, which puts them into its value.
_PART_OF = dict.fromkeys(("redis_ca_file", "redis_cert_file", "redis_key_file", "redis_sentinel_password"), "redis_url")
# Modules that every service imports, with functions that a worker alone calls.
_WORKERS_ONLY = frozenset({"temp_dir"})


@dataclass(frozen=True, slots=True)
class Readers:
    """`needed_by`: the services that do not start without it where APP_ENV=production."""

    services: tuple[str, ...]
    needed_by: tuple[str, ...] = ()


def readers() -> dict[str, Readers]:
    """By field of Settings."""
    read = {service: _fields_read_by(service) for service in SERVICES}
    needed = {service: _fields_needed_by(service) for service in SERVICES}
    return {
        name: Readers(
            tuple(s for s in SERVICES if _PART_OF.get(name, name) in read[s] and _may_read(s, name)),
            tuple(s for s in SERVICES if name in needed[s]),
        )
        for name in Settings.model_fields
    }


def kit_settings() -> dict[str, type[BaseSettings]]:
    """The settings class of each of the platform's kits, by the kit's name."""
    return {
        found.kit.name: getattr(importlib.import_module(module), name)
        for found in installed(Settings())
        if found.kit.settings is not None
        for module, _, name in [str(found.kit.settings).partition(":")]
        if module.startswith("taskyard_kits.")
    }


def _may_read(service: str, name: str) -> bool:
    if service == "console":  # of the modules that commands import late, it runs none that opens the database
        return name not in DatabaseSettings.model_fields
    return service == "worker" or name not in _WORKERS_ONLY


def _fields_read_by(service: str) -> set[str]:
    found = set()
    for module in _imported_by(f"taskyard_{service}"):
        for node in ast.walk(_tree(module)):
            if isinstance(node, ast.Attribute) and _last_name(node.value) in {"settings", "_settings"}:
                found |= _fields_behind().get(node.attr, {node.attr})
    return found & Settings.model_fields.keys()


def _fields_needed_by(service: str) -> set[str]:
    """The argument `needs` of what the service's main command calls."""
    found: set[str] = set()
    for function in ast.walk(_tree(f"taskyard_{service}.{'commands' if service == 'scheduler' else 'cli'}")):
        if isinstance(function, ast.FunctionDef) and function.name in {"serve", "run"}:
            for node in ast.walk(function):
                if isinstance(node, ast.keyword) and node.arg == "needs":
                    found.update(_texts(node.value))
    return found


def _texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
        elif isinstance(part, ast.Name) and part.id == "SERVERS":
            yield from commands.SERVERS


@cache
def _fields_behind() -> dict[str, set[str]]:
    """By property of Settings, the fields that it is made of."""
    return {
        name: {
            node.attr
            for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(value.fget))))
            if isinstance(node, ast.Attribute) and _last_name(node.value) == "self"
        }
        for cls in Settings.__mro__
        for name, value in vars(cls).items()
        if isinstance(value, property) and value.fget is not None and cls.__module__.startswith("taskyard.")
    }


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("taskyard", *(f"taskyard_{service}" for service in SERVICES))


def _imported_by(package: str) -> set[str]:
    own = {module for module in _graph().modules if module.split(".")[0] == package}
    return own.union(*(_graph().find_upstream_modules(module) for module in own))


@cache
def _tree(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None, module
    return ast.parse(Path(str(spec.origin)).read_text("utf-8"))


def _last_name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None
