"""Plain sentences for what is wrong with a value, by the keyword of the schema that it fails.

None of them quotes a value. The name of an unknown parameter is quoted where it is short and printable, because without
it nobody finds the typing error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .formats import FORMATS
from .near import near_names

GENERAL = "Fits none of the forms that are allowed here."
UNSAID = "Does not fit its schema."
MAX_OPTIONS = 10
_MAX_NAME = 100
_MAX_SHOWN = 100  # characters of a pattern, and of an allowed value
_MAX_COMPARED = 200  # names that an unknown one is compared with

_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a JSON object",
    "null": "null",
}


def of_type(types: Iterable[str]) -> str:
    return f"Must be {_either([_TYPES.get(name, name) for name in types])}."


def of_required(name: str) -> str:
    return f"`{name}` is required." if _quotable(name) else "A parameter is missing."


def of_unknown(name: str, known: Sequence[str], *, compare: bool = True) -> str:
    """`known`: the names there are. With `compare`, the nearest of them are told."""
    if not _quotable(name):
        return "There is no parameter of this name."
    near = near_names(name, [k for k in known[:_MAX_COMPARED] if _quotable(k)]) if compare else []
    hint = f" Did you mean {_either([f'`{other}`' for other in near])}?" if near else ""
    return f"There is no parameter `{name}`.{hint}"


def of_format(name: str, value: str) -> str:
    known = FORMATS.get(name)
    fault = known.fault(value) if known is not None else None
    return _sentence(fault or f"must have the format {name[:_MAX_NAME]}")


def of_enum(options: Sequence[Any]) -> str:
    shown = [json.dumps(option, ensure_ascii=False) for option in options[: MAX_OPTIONS + 1]]
    if len(shown) > MAX_OPTIONS or max(map(len, shown), default=0) > _MAX_SHOWN:
        return "Must be one of the allowed values."
    return f"Must be {_either(shown)}."


def of_leaf(keyword: str, node: Mapping[str, Any]) -> str:
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
            if isinstance(limit, str) and len(limit) <= _MAX_SHOWN:
                return f"Must match the pattern {limit}"
            return "Must match the pattern of its schema."
        case "contains":
            return "Must contain an item of the kind that its schema asks for, in the number it asks for."
        case "not":
            return "Has a form that is not allowed here."
        case _:
            if isinstance(limit, float) and limit.is_integer() and abs(limit) < 1e15:
                limit = int(limit)  # people write 0, not 0.0
            sentence = _BOUNDS.get(keyword, UNSAID).format(limit=limit)
            return _ONE.sub(r"1 \1.", sentence) if limit == 1 else sentence


_ONE = re.compile(r"1 (character|item|name)s\.")
_BOUNDS = {
    "minimum": "Must be {limit} or more.",
    "maximum": "Must be {limit} or less.",
    "exclusiveMinimum": "Must be more than {limit}.",
    "exclusiveMaximum": "Must be less than {limit}.",
    "multipleOf": "Must be a multiple of {limit}.",
    "minLength": "Must have at least {limit} characters.",
    "maxLength": "Must have at most {limit} characters.",
    "minItems": "Must have at least {limit} items.",
    "maxItems": "Must have at most {limit} items.",
    "uniqueItems": "Must not have the same item twice.",
    "minProperties": "Must have at least {limit} names.",
    "maxProperties": "Must have at most {limit} names.",
    "false": "Nothing is allowed here.",
}


def _quotable(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and name.isprintable() and "`" not in name


def _either(words: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(words))
    return " or ".join([", ".join(distinct[:-1]), distinct[-1]] if len(distinct) > 1 else distinct)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"
