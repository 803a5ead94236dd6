"""The text of docs/configuration.md."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from taskyard.domain.processes import ProcessRange
from taskyard.settings import Settings

from .readers import SERVICES, Readers, kit_settings, readers

_KINDS = {bool: "`true` or `false`", int: "integer", float: "number", Path: "path", ProcessRange: "N or MIN:MAX"}
_UNITS = {
    "seconds": "seconds",
    "hours": "hours",
    "days": "days",
    "bytes": "bytes",
    "mb": "MiB",
    "mib": "MiB",
    "per_second": "a second",
}
# Defaults that are found out at the start, or that a page may not show as they are.
_DEFAULTS = {
    "worker_name": "the host's name and four characters",
    "worker_queues": "`TASKYARD_QUEUES`",
    "kits": "those of its queues",
    "max_descriptors_per_child": "half of `ulimit -n`, 10,000 at most",
    "cache_url": "`TASKYARD_REDIS_URL`",
    "listen_url": "`TASKYARD_DATABASE_URL`",
}
_FRAME = Path(__file__).with_name("frame.md")
_TABLES = "<!-- tables -->\n"
_COMPOSE = re.compile(r"^ +((?:TASKYARD|OLLAMA|LITELLM|STRIPE)_\w+): .*?\$\{(\w+)", re.MULTILINE)


def page(compose: str) -> str:
    """`compose`: the text of docker-compose.yml, which passes variables on to the services."""
    in_compose = dict(_COMPOSE.findall(compose))
    parts = []
    by_service, by_kit = readers(), _kits_by_field()
    for heading, fields in _platform_groups():
        rows = [_row(n, f, _read_by(by_service[n], by_kit.get(n, ())), in_compose) for n, f in fields.items()]
        parts.append(_table(heading, rows))
    for kits, fields in _kit_groups(by_kit):
        heading = f"The kit{'s' if len(kits) > 1 else ''} {_and(kits)}"
        rows = [_row(n, f, "worker", in_compose) for n, f in fields.items()]
        parts.append(_table(heading, rows))
    return _FRAME.read_text("utf-8").replace(_TABLES, "\n".join(parts))


def _platform_groups() -> Iterator[tuple[str, dict[str, FieldInfo]]]:
    """A heading, the first line of the class that has the fields, and these."""
    for cls in reversed(Settings.__mro__):
        if cls.__module__.startswith("taskyard.") and (own := _own(cls)):
            yield (inspect.getdoc(cls) or cls.__name__).splitlines()[0].rstrip("."), own


def _kit_groups(by_kit: dict[str, tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], dict[str, FieldInfo]]]:
    """The settings that only kits have, by the kits that have them."""
    groups: dict[tuple[str, ...], dict[str, FieldInfo]] = {}
    for cls in kit_settings().values():
        for name, field in cls.model_fields.items():
            if name not in Settings.model_fields:
                groups.setdefault(by_kit[name], {})[name] = field
    return iter(sorted(groups.items()))


def _kits_by_field() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for kit, cls in sorted(kit_settings().items()):
        for name in cls.model_fields:
            found[name] = (*found.get(name, ()), kit)
    return found


def _own(cls: type) -> dict[str, FieldInfo]:
    names = inspect.get_annotations(cls)
    return {name: field for name, field in Settings.model_fields.items() if name in names}


def _row(name: str, field: FieldInfo, read_by: str, in_compose: dict[str, str]) -> list[str]:
    alias = field.validation_alias
    assert isinstance(alias, AliasChoices), name
    variables = [str(choice) for choice in alias.choices]
    passed = next((in_compose[variable] for variable in reversed(variables) if variable in in_compose), None)
    return [
        "<br>".join(f"`{variable}`" for variable in variables),
        _value(name, field),
        _default(name, field),
        read_by,
        "" if passed is None else f"`{passed}`",
        " ".join((field.description or "").split()).replace("|", "\\|"),
    ]


def _read_by(found: Readers, kits: tuple[str, ...]) -> str:
    # Kits' tasks run in workers.
    services = [s for s in SERVICES if s in found.services or (s == "worker" and kits)]
    marked = [f"{s}*" if s in found.needed_by else s for s in services]
    return ", ".join(marked) or "`taskyard`"


def _value(name: str, field: FieldInfo) -> str:
    """The type, the unit, and the bounds."""
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
    if field.annotation is not None and "tuple" in str(field.annotation):
        kind = "list"
    else:
        kind = next((_KINDS[k] for k in kinds if k in _KINDS), "text")
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(f"_{end}")), "")
    words = [f"{kind} ({unit})" if unit else kind, *_bounds(field)]
    if SecretStr in _leaves(field.annotation):
        words.append("**secret**")
    return ", ".join(words)


def _bounds(field: FieldInfo) -> Iterator[str]:
    found: dict[str, Any] = {}
    for rule in field.metadata:
        for bound in ("ge", "gt", "le", "lt"):
            if (limit := getattr(rule, bound, None)) is not None:
                found[bound] = limit
    if "ge" in found and "le" in found:
        yield f"{_number(found['ge'])} to {_number(found['le'])}"
        return
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    yield from (f"{words[bound]} {_number(limit)}" for bound, limit in found.items())


def _leaves(annotation: Any) -> Iterator[Any]:
    parts = get_args(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from _leaves(part)


def _default(name: str, field: FieldInfo) -> str:
    if name in _DEFAULTS:
        return _DEFAULTS[name]
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if value is None or value == ():
        return ""
    match value:
        case bool():
            text = str(value).lower()
        case int() | float():
            text = _number(value, grouped=False)
        case ProcessRange(minimum=low, maximum=high):
            text = str(low) if low == high else f"{low}:{high}"
        case tuple():
            text = ",".join(value)
        case _:
            text = str(value)
    return f"`{text}`"


def _number(value: float, *, grouped: bool = True) -> str:
    text = f"{value:,}" if grouped else str(value)
    return text.removesuffix(".0")


def _table(heading: str, rows: Iterable[list[str]]) -> str:
    head = ["variable", "value", "default", "read by", "in `.env`", "what it says"]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join([f"## {heading}", "", *lines, ""])


def _and(names: tuple[str, ...]) -> str:
    quoted = [f"`{name}`" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
