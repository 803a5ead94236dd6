"""A type's parameters in words, as its JSON Schema has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from .schema_kinds import Schema, plain

if TYPE_CHECKING:
    from babel.support import NullTranslations

# A schema may hold itself.
_DEEPEST, MOST = 3, 200


@dataclass(frozen=True, slots=True)
class Parameter:
    """`name`: with those of the objects around it. `kind` and `limits`: in words."""

    name: str
    kind: str
    is_required: bool
    is_secret: bool
    default: str
    limits: tuple[str, ...]
    description: str


def described(schema: Schema, words: NullTranslations) -> list[Parameter]:
    return list(islice(_properties(schema, schema, "", words.gettext, 0), MOST))


def _properties(root: Schema, schema: Schema, within: str, _: Callable[[str], str], depth: int) -> Iterator[Parameter]:
    required = set(schema.get("required", ()))
    for name, sub in schema.get("properties", {}).items():
        found, nullable = plain(root, sub)
        default = found.get("default")
        yield Parameter(
            name=within + name,
            kind=_kind(root, found, _),
            is_required=name in required,
            is_secret=bool(found.get("writeOnly")),
            default="" if default is None else json.dumps(default, ensure_ascii=False),
            limits=(*_limits(found, _), *([_("may be null")] if nullable and name in required else [])),
            description=str(found.get("description", "")),
        )
        if depth < _DEEPEST:
            inner, mark = found, "."
            if isinstance(found.get("items"), Mapping):
                inner, mark = plain(root, found["items"])[0], "[]."
            yield from _properties(root, inner, within + name + mark, _, depth + 1)


def _kind(root: Schema, schema: Schema, _: Callable[[str], str]) -> str:
    if "const" in schema or "enum" in schema:
        options = [schema["const"]] if "const" in schema else schema["enum"]
        return _("one of %(options)s") % {"options": ", ".join(map(_shown, options))}
    formats = {
        "email": _("mail address"),
        "http-url": _("web address"),
        "line": _("one line of text"),
        "date": _("date"),
        "date-time": _("time"),
        "uuid": _("UUID"),
    }
    kinds = {
        "string": _("text"),
        "integer": _("whole number"),
        "number": _("number"),
        "boolean": _("true or false"),
        "object": _("object"),
        "null": _("null"),
    }
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items")
        inner = _kind(root, plain(root, items)[0], _) if isinstance(items, Mapping) else _("anything")
        return _("list of: %(kind)s") % {"kind": inner}
    if isinstance(ways := schema.get("anyOf") or schema.get("oneOf"), list):
        return _(" or ").join(_kind(root, plain(root, way)[0], _) for way in ways)
    return formats.get(str(schema.get("format")), "") or kinds.get(str(kind), "") or _("anything")


def _limits(schema: Schema, _: Callable[[str], str]) -> Iterator[str]:
    sentences = {
        "minimum": _("at least %(limit)s"),
        "exclusiveMinimum": _("more than %(limit)s"),
        "maximum": _("at most %(limit)s"),
        "exclusiveMaximum": _("less than %(limit)s"),
        "minLength": _("length: at least %(limit)s"),
        "maxLength": _("length: at most %(limit)s"),
        "minItems": _("entries: at least %(limit)s"),
        "maxItems": _("entries: at most %(limit)s"),
        "pattern": _("of the form %(limit)s"),
    }
    for name, said in sentences.items():
        if name in schema:
            yield said % {"limit": schema[name]}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
