"""Plain sentences for what is wrong with a value, by the keyword of the schema that it fails.

None of them quotes a value. The name of an unknown parameter is quoted where it is short and printable, because without
it nobody finds the typing error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..domain.messages import Choice, Message, marked, message
from .formats import FORMATS
from .near import near_names

GENERAL = message("Fits none of the forms that are allowed here.")
UNSAID = message("Does not fit its schema.")
MAX_OPTIONS = 10
_MAX_NAME = 100
_MAX_SHOWN = 100  # characters of a pattern, and of an allowed value
_MAX_COMPARED = 200  # names that an unknown one is compared with

_TYPES = {
    "string": message("a text"),
    "integer": message("a whole number"),
    "number": message("a number"),
    "boolean": message("true or false"),
    "array": message("a list"),
    "object": message("a JSON object"),
    "null": "null",
}


def of_type(types: Iterable[str]) -> Message:
    return message("Must be {options}.", options=_distinct(_TYPES.get(name, name) for name in types))


def of_required(name: str) -> Message:
    return message("{field} is required.", field=f"`{name}`") if _quotable(name) else message("A parameter is missing.")


def of_unknown(name: str, known: Sequence[str], *, compare: bool = True) -> Message:
    """`known`: the names there are. With `compare`, the nearest of them are told."""
    if not _quotable(name):
        return message("There is no parameter of this name.")
    near = near_names(name, [k for k in known[:_MAX_COMPARED] if _quotable(k)]) if compare else []
    if near:
        options = Choice(f"`{other}`" for other in near)
        return message("There is no parameter {field}. Did you mean {options}?", field=f"`{name}`", options=options)
    return message("There is no parameter {field}.", field=f"`{name}`")


def of_format(name: str, value: str) -> Message:
    known = FORMATS.get(name)
    fault = known.fault(value) if known is not None else None
    return fault or message("Must have the format {format}.", format=name[:_MAX_NAME])


def of_enum(options: Sequence[Any]) -> Message:
    shown = [json.dumps(option, ensure_ascii=False) for option in options[: MAX_OPTIONS + 1]]
    if len(shown) > MAX_OPTIONS or max(map(len, shown), default=0) > _MAX_SHOWN:
        return message("Must be one of the allowed values.")
    return message("Must be {options}.", options=_distinct(shown))


def of_leaf(keyword: str, node: Mapping[str, Any]) -> Message:
    """The sentence for a keyword that says all by itself: bounds, lengths, patterns, ..."""
    limit = node.get(keyword)
    match keyword:
        case "type":
            return of_type([limit] if isinstance(limit, str) else limit or ())
        case "enum":
            return of_enum(limit or ())
        case "const":
            return of_enum([limit])
        case "pattern":
            return _of_pattern(limit)
        case "contains":
            return message("Must contain an item of the kind that its schema asks for, in the number it asks for.")
        case "not":
            return message("Has a form that is not allowed here.")
        case _:
            return _of_bound(keyword, limit) if keyword in _BOUNDS else UNSAID


def _of_pattern(pattern: Any) -> Message:
    if isinstance(pattern, str) and len(pattern) <= _MAX_SHOWN:
        return message("Must match the pattern {pattern}", pattern=pattern)
    return message("Must match the pattern of its schema.")


def _of_bound(keyword: str, limit: Any) -> Message:
    if isinstance(limit, float) and limit.is_integer() and abs(limit) < 1e15:
        limit = int(limit)  # people write 0, not 0.0
    template = _OF_ONE.get(keyword) if limit == 1 else None
    return message(template or _BOUNDS[keyword], limit=limit if isinstance(limit, int | float) else str(limit))


_BOUNDS = {
    "minimum": marked("Must be {limit} or more."),
    "maximum": marked("Must be {limit} or less."),
    "exclusiveMinimum": marked("Must be more than {limit}."),
    "exclusiveMaximum": marked("Must be less than {limit}."),
    "multipleOf": marked("Must be a multiple of {limit}."),
    "minLength": marked("Must have at least {limit} characters."),
    "maxLength": marked("Must have at most {limit} characters."),
    "minItems": marked("Must have at least {limit} items."),
    "maxItems": marked("Must have at most {limit} items."),
    "uniqueItems": marked("Must not have the same item twice."),
    "minProperties": marked("Must have at least {limit} names."),
    "maxProperties": marked("Must have at most {limit} names."),
    "false": marked("Nothing is allowed here."),
}
_OF_ONE = {
    "minLength": marked("Must have at least {limit} character."),
    "maxLength": marked("Must have at most {limit} character."),
    "minItems": marked("Must have at least {limit} item."),
    "maxItems": marked("Must have at most {limit} item."),
    "minProperties": marked("Must have at least {limit} name."),
    "maxProperties": marked("Must have at most {limit} name."),
}


def _quotable(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and name.isprintable() and "`" not in name


def _distinct(words: Iterable[str]) -> Choice:
    return Choice(dict.fromkeys(words))
