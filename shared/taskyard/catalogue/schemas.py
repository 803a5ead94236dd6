"""JSON Schemas, compiled: bounded in size, in the time that validating takes, and in what they refer to.

jsonschema-rs decides whether parameters are valid. What is wrong with invalid ones is looked for here (explain.py):
its own list of errors copies the value and the allowed values into every error, which took 14 GB for 240 KiB of
parameters, and its messages quote values.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import jsonschema_rs
import orjson

from ..domain.faults import Fault
from ..domain.messages import message
from .effort import before_explaining
from .explain import explain
from .formats import FORMATS
from .loose import loosened
from .schema_cost import check_cost, heaviest
from .sizes import Size
from .subschemas import SchemaRefused, Subschemas, subschemas

__all__ = ["MAX_SCHEMA_BYTES", "Schema", "SchemaRefused", "check_schema", "compile_schema"]

MAX_SCHEMA_BYTES = 64 * 1024
# Of one compiled pattern. The engine's time is the product of this and the text, at worst: `a[ab]{3000}c` took 5 s for
# 256 KiB. So types with patterns above 16 KiB take shorter parameters. Classes of Unicode are large, but only one of
# their ranges is followed at a time; they are not counted.
_PATTERN_BYTES = (512, 2048, 8192, 16 * 1024, 64 * 1024, 256 * 1024)
_UNICODE_CLASS = re.compile(r"\\[pP](?:\{[^{}]*\}|.)")
_MAX_PATTERN_WORK = 256 * 1024 * 16 * 1024  # bytes of text times bytes of the patterns that apply to it
# Evaluations for all values of the parameters together (`schema_cost`): some 0.15 s at the very worst.
_MAX_EVALUATIONS = 8_000_000
_FORMATS = {name: known.fits for name, known in FORMATS.items()}
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES[-1], dfa_size_limit=4 * 1024**2)
_DOCUMENT = "urn:taskyard:schema"
_UNREAD = message("Cannot be read as JSON.")


@dataclass(frozen=True)
class Schema:
    """A compiled schema. Values are JSON as orjson reads it.

    `most` is the size up to which every value is validated soon; `is_valid` and `faults` expect no larger one.
    """

    source: Any
    parts: Subschemas
    is_valid: Callable[[Any], bool]
    most: Size

    def faults(self, value: Any, prefix: str = "") -> list[Fault]:
        """What is wrong with the value, at most 100 faults; their pointers begin with `prefix`.

        Microseconds where the value is valid, at most about half a second where it is not. Raises NotNow where the
        effort of the request does not reach for that.
        """
        try:
            if self.is_valid(value):
                return []
        except (
            ValueError,
            TypeError,
            RecursionError,
        ):  # a lone surrogate, a key that is no text, nesting of 255 levels
            return [Fault(prefix, _UNREAD)]
        before_explaining()
        return explain(self.parts, self.checker, value, prefix)

    def checker(self, schema: Any) -> Callable[[Any], bool]:
        """Compiles a schema whose references lead into this one, such as `{"$ref": "urn:taskyard:schema#/items"}`."""
        return _compiled(schema, self._registry)

    @cached_property
    def loose(self) -> Schema | None:
        """The schema that takes a reference to an earlier result at every place; None where it would be too large."""
        try:
            return compile_schema(loosened(self.source))
        except SchemaRefused:
            return None

    @cached_property
    def _registry(self) -> jsonschema_rs.Registry:
        # Only for invalid values, so it is made when the first of them comes.
        return jsonschema_rs.Registry([(_DOCUMENT, self.source)])


def check_schema(schema: Any) -> Subschemas:
    """The parts of a schema. Raises SchemaRefused for one that the platform does not take."""
    return compile_schema(schema).parts


def compile_schema(schema: Any) -> Schema:
    """Takes up to some tenths of a second: keep it off event loops. Raises SchemaRefused."""
    try:
        text = orjson.dumps(schema)
    except (TypeError, ValueError):
        raise SchemaRefused("a schema is JSON, and this is not") from None
    if len(text) > MAX_SCHEMA_BYTES:
        raise SchemaRefused(f"a schema has at most {MAX_SCHEMA_BYTES} bytes as JSON")
    parts = subschemas(schema)
    try:
        # Its own error would be longer, and name a place in the meta-schema.
        jsonschema_rs.meta.validate(schema)
    except ValueError as e:
        place = "/".join(map(str, getattr(e, "instance_path", ())))
        raise SchemaRefused(f"/{place[:100]}: not as JSON Schema 2020-12 has it") from None
    evaluations = check_cost(parts)
    try:
        is_valid = _compiled(schema, None)
    except ValueError as e:
        place = "/".join(map(str, getattr(e, "instance_path", ())))
        raise SchemaRefused(
            f"/{place[:100]}: cannot be compiled; patterns run in linear time, so they have no lookaround and no"
            " backreferences, and are small"
        ) from None
    most = Size(bytes=_MAX_PATTERN_WORK // _patterns_at_a_value(parts), values=_MAX_EVALUATIONS // evaluations)
    return Schema(schema, parts, is_valid, most)


def _patterns_at_a_value(parts: Subschemas) -> int:
    """The bytes of the compiled patterns that apply to one text, at most; 1 where there are none."""

    def local(node: Mapping[str, Any] | bool) -> int:
        if isinstance(node, bool):
            return 0
        own = [node["pattern"]] if "pattern" in node else []
        return sum(map(_pattern_bytes, (*own, *node.get("patternProperties", ()))))

    return max(1, heaviest(parts, local, sys.maxsize)) if any(map(local, parts.by_pointer.values())) else 1


@lru_cache(maxsize=4096)
def _pattern_bytes(pattern: str) -> int:
    """The size of the compiled pattern without its classes of Unicode, rounded up."""
    for size in _PATTERN_BYTES[:-1]:
        options = jsonschema_rs.RegexOptions(size_limit=size)
        try:
            jsonschema_rs.Draft202012Validator({"pattern": _UNICODE_CLASS.sub("x", pattern)}, pattern_options=options)
        except ValueError:
            continue
        return size
    return _PATTERN_BYTES[-1]


def _compiled(schema: Any, registry: jsonschema_rs.Registry | None) -> Callable[[Any], bool]:
    made = jsonschema_rs.Draft202012Validator(
        schema, formats=_FORMATS, validate_formats=True, pattern_options=_PATTERNS, registry=registry, offline=True
    )
    return made.is_valid
