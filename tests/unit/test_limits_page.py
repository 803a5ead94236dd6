"""docs/limits.md tells the limits that the code keeps, all of them."""

from __future__ import annotations

import ast
import importlib
import re
from datetime import timedelta
from typing import Any, get_args

import pytest
from annotated_types import Le, MaxLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tests.architecture.test_modules import PACKAGES
from tests.support.docs import DOCS

ROWS = re.findall(
    r"^\| (.+?) \| ([\d,]+)(?: (\S+))? \| `([\w.]+)` \|$", (DOCS / "limits.md").read_text("utf-8"), re.MULTILINE
)
UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "bytes": 1, "characters": 1, "pixels": 1, "": 1}
# Sizes of what goes on inside: nobody who uses the platform meets them.
INSIDE = {
    "taskyard.storage.archive_lines.MAX_LINE_BYTES",
    "taskyard_api.bounds.MAX_LEFTOVER_BYTES",
    "taskyard_api.collector.MAX_BATCH",
    "taskyard_api.collector.MAX_FLIGHTS",
    "taskyard_api.followers.MAX_BACKLOG",
    "taskyard.catalogue.stored.MAX_STORED_BYTES",
    "taskyard_api.room.MAX_WAITING",
    "taskyard.telemetry.metrics_server.MAX_REQUESTS",
    "taskyard_console.sessions.MAX_COOKIE_BYTES",
    "taskyard_worker.child.writer.MAX_BATCH",
    "taskyard_worker.control.MAX_LINE_BYTES",
}


def value_of(path: str) -> Any:
    """A constant, the bound of a model's field or of an annotation, or the default of a setting."""
    parts = path.split(".")
    for n in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for name in parts[n:]:
            is_model = isinstance(found, type) and issubclass(found, BaseModel)
            found = found.model_fields[name] if is_model else getattr(found, name)
        return found
    raise AssertionError(path)


def bound(found: Any) -> float:
    if isinstance(found, int | float):
        return found
    if isinstance(found, timedelta):
        return found.total_seconds()
    bounds = list(bounds_in(found))
    return float(bounds[0] if bounds else found.default)


def bounds_in(found: Any) -> Any:
    if isinstance(found, Le):
        yield found.le
    elif isinstance(found, MaxLen):
        yield found.max_length
    elif isinstance(found, FieldInfo):
        for one in found.metadata:
            yield from bounds_in(one)
        yield from bounds_in(found.annotation)
    else:
        for one in get_args(found)[::-1]:
            yield from bounds_in(one)


@pytest.mark.parametrize(("what", "number", "unit", "path"), ROWS, ids=[row[3] for row in ROWS])
def test_a_limit_is_the_one_that_the_page_tells(what: str, number: str, unit: str, path: str) -> None:
    kept = bound(value_of(path))
    factor = UNITS | {"s": 1, "days": 1 if path.endswith("DAYS") else 86_400}
    assert kept == int(number.replace(",", "")) * factor[unit], what


def limits_in(module: str, source: str) -> list[str]:
    names = []
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id.startswith("MAX_"):
            names.append(f"{module}.{target.id}")
    return names


def test_every_limit_is_on_the_page() -> None:
    told = {row[3] for row in ROWS}
    kept = {
        name
        for package, root in PACKAGES.items()
        if package != "taskyard_dev"
        for file in (root / package).rglob("*.py")
        for name in limits_in(".".join(file.relative_to(root).with_suffix("").parts), file.read_text("utf-8"))
    }
    assert kept - INSIDE - told == set()
    assert kept >= INSIDE, "no longer there"
