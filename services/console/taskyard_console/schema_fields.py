"""A field of a form for parameters: the text that stands in it, and the value that the text means."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from .json_text import json_of, json_text
from .schema_kinds import Schema, options_of

# As JSON has them; neither `1_0` nor `nan`.
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
_FRACTION = re.compile("[.eE]")
_LINE_END = re.compile(r"\r\n|\r|\n")
# What is not sent, so that the type's default counts.
LEFT_OUT: Any = ...


@dataclass(frozen=True, slots=True)
class Field:
    """`kind`: as `kind_of` tells. `is_json`: its text is JSON, whatever the kind; `may_be_json`: readers may choose so,
    where plain text cannot say everything."""

    name: str
    label: str
    kind: str
    description: str = ""
    required: bool = False
    nullable: bool = False
    value: str = ""
    options: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    items: str = ""
    is_secret: bool = False
    is_long: bool = False
    is_json: bool = False
    may_be_json: bool = False
    fault: str = ""

    @property
    def id(self) -> str:
        return "field" + "".join(c if c.isalnum() else "-" for c in self.name)

    @property
    def control(self) -> str:
        """What the form calls it: browsers leave out what has no name."""
        return self.name or "params"


def value_of(field: Field, schema: Schema, typed: str) -> Any:
    """What the text of a field means; `LEFT_OUT` where it says nothing. Raises ValueError for what is to be JSON and is
    not."""
    is_text = field.kind == "string" and not field.is_json
    if not (typed if is_text else typed.strip()):
        return _nothing(field)
    if field.is_json:
        return json_of(typed)
    match field.kind:
        case "enum":
            return next((one for one in options_of(schema) if option_of(one) == typed), typed)
        case "boolean":
            return {"true": True, "false": False}.get(typed, typed)
        case "array":
            return [scalar(field.items, line.strip()) for line in typed.splitlines() if line.strip()]
        case "union":
            return typed.strip()
    # Browsers send line breaks as MIME has them.
    return scalar(field.kind, typed.replace("\r\n", "\n") if is_text else typed.strip())


def _nothing(field: Field) -> Any:
    if not field.required:
        return LEFT_OUT
    if field.nullable:
        return None
    return {"string": "", "array": []}.get("json" if field.is_json else field.kind, LEFT_OUT)


def says(field: Field, schema: Schema, value: Any) -> bool:
    """Whether the field, sent by a browser as it is, means this value."""
    try:
        found = value_of(field, schema, _LINE_END.sub("\r\n", field.value))
    except ValueError:
        return False
    return are_same(schema.get("default", LEFT_OUT) if found is LEFT_OUT else found, value)


def are_same(one: Any, other: Any) -> bool:
    """As JSON: 1, 1.0 and true are three values."""
    if one is LEFT_OUT or other is LEFT_OUT:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def scalar(kind: str, text: str) -> Any:
    """What is no number stays text: the API says so in its own words."""
    if kind in {"integer", "number"} and _NUMBER.fullmatch(text):
        found = float(text) if _FRACTION.search(text) else int(text)
        return text if abs(found) == math.inf else found
    return text


def text_of(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def option_of(value: Any) -> str:
    return "null" if value is None else text_of(value)


def as_json(value: Any) -> str:
    return json_text(value, indent=2)
