"""A schema that takes a reference to an earlier result wherever it takes a value."""

from __future__ import annotations

from typing import Any

from ..domain.references import MARK
from .subschemas import ITEM_LIST, ITEM_ONE, MEMBER_MAP

_REFERENCE = {
    "type": "object",
    "properties": {MARK: {"type": "string"}},
    "required": [MARK],
    "additionalProperties": False,
}
# A value that is not known yet may make these come out either way. What a worker validates when the results are there
# is the type's own schema.
_UNDECIDED = frozenset({"not", "if", "then", "else", "uniqueItems", "maxContains", "oneOf"})
_STORE = frozenset({"$defs", "definitions"})
_IN_PLACE_MAP = frozenset({"dependentSchemas"})
_IN_PLACE_LIST = frozenset({"allOf", "anyOf"})
_MEMBERS = frozenset({*ITEM_ONE, "additionalProperties"})


def loosened(schema: Any) -> Any:
    """The schema as JSON, for values in which references stand. Of several alternatives more than one may fit then, so
    `oneOf` becomes `anyOf`."""
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _UNDECIDED or (key in {"const", "enum"} and _holds_values(value)):
            continue
        if key in _STORE or key in _IN_PLACE_MAP:
            made[key] = {name: loosened(inner) for name, inner in value.items()}
        elif key in _IN_PLACE_LIST:
            made[key] = [loosened(inner) for inner in value]
        elif key in MEMBER_MAP:
            made[key] = {name: _taking(inner) for name, inner in value.items()}
        elif key in ITEM_LIST:
            made[key] = [_taking(inner) for inner in value]
        elif key in _MEMBERS:
            made[key] = _taking(value)
        else:
            made[key] = value
    if "oneOf" in schema:
        made["allOf"] = [*made.get("allOf", ()), {"anyOf": [loosened(inner) for inner in schema["oneOf"]]}]
    return made


def _taking(schema: Any) -> Any:
    """A name that the schema does not take stays refused."""
    return schema if isinstance(schema, bool) else {"anyOf": [_REFERENCE, loosened(schema)]}


def _holds_values(value: Any) -> bool:
    """Whether references may stand inside of an allowed value."""
    return any(isinstance(one, dict | list) for one in (value if isinstance(value, list) else [value]))
