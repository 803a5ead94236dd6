"""Forms made of a task type's JSON Schema. What no field can be drawn for is a text of JSON.

A field's name is its JSON pointer below the parameters, so that what the API says of a place stands beside its field.
The form checks nothing that the API checks: it passes on what was typed, and shows what the API says of it.

A form that nobody touches means what it was drawn from. A value that its field cannot hold as plain text (null where a
default would come instead, a list of texts with line breaks) is drawn as JSON, and a box beside the field says so to
readers and to `read`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .forms import Form
from .json_text import json_of
from .masked import MASK, escaped, places, replaced
from .schema_fields import LEFT_OUT, Field, are_same, as_json, option_of, says, text_of, value_of
from .schema_kinds import Schema, kind_of, options_of, plain

NOT_JSON = "not_json"
NOT_AN_OBJECT = "not_an_object"
# With so many fields, a further object is a text of JSON: where schemas refer to each other, a short one has billions.
MOST_FIELDS = 500
# The boxes that say which fields hold JSON.
AS_JSON = "json"
# A text that may be longer has several lines to be typed into.
_LONGEST_LINE = 1_000
# All parameters in one field, where the schema does not name them.
_ALL = Field(name="", label="params", kind="json", is_json=True)


def drawn(
    schema: Schema,
    values: Mapping[str, Any] | None = None,
    faults: Mapping[str, str] | None = None,
    typed: Form | None = None,
) -> list[Field]:
    """The fields of the parameters. `values`: what stands in them, by name; `typed`: what stands in them instead, as it
    was sent; `faults`: what is wrong, by pointer below the parameters."""
    drawing = _Drawing(schema, faults or {}, typed)
    root, given = plain(schema, schema)[0], values or {}
    named = root.get("properties") or {}
    is_open = not named and root.get("additionalProperties") is not False
    if is_open or given.keys() - named.keys() or drawing.was_json(_ALL):
        text = as_json(replaced(given, "")) if given else ""
        text = text if typed is None else typed.text(_ALL.control)
        return [replace(_ALL, value=text, fault=drawing.faults.get("", ""))]
    return list(drawing.properties(root, "", given, 0))


@dataclass(slots=True)
class _Drawing:
    """`left`: how many fields there may still be."""

    root: Schema
    faults: Mapping[str, str]
    typed: Form | None
    left: int = MOST_FIELDS

    def has_room(self, properties: Mapping[str, Any]) -> bool:
        has_room = len(properties) <= self.left
        self.left -= len(properties) if has_room else 0
        return has_room

    def was_json(self, field: Field) -> bool:
        return self.typed is not None and field.control in self.typed.all(AS_JSON)

    def properties(
        self, schema: Schema, at: str, values: Mapping[str, Any], depth: int, *, shows_defaults: bool = True
    ) -> Iterator[Field]:
        required = set(schema.get("required", ()))
        for name, sub in (schema.get("properties") or {}).items():
            found, nullable = plain(self.root, sub)
            kind = kind_of(self.root, found, depth)
            if kind == "object" and not self.has_room(found["properties"]):
                kind = "json"
            pointer = f"{at}/{escaped(name)}"
            field = Field(
                name=pointer,
                label=str(found.get("title") or name),
                kind=kind,
                description=str(found.get("description", "")),
                required=name in required,
                nullable=nullable,
                is_secret=bool(found.get("writeOnly")),
                is_long=kind == "string" and found.get("format") is None and found.get("maxLength", 0) > _LONGEST_LINE,
                is_json=kind == "json",
                fault=self.faults.get(pointer, ""),
            )
            default = found.get("default", LEFT_OUT) if shows_defaults else LEFT_OUT
            given = values.get(name, default)
            yield self._object(field, found, given, depth) if kind == "object" else self._one(field, found, given)

    def _object(self, field: Field, schema: Schema, given: Any, depth: int) -> Field:
        """Of one that may be left out and is, no defaults are shown: they would send it."""
        has = isinstance(given, Mapping)
        inner = self.properties(
            schema, field.name, given if has else {}, depth + 1, shows_defaults=has or not _may_be_left_out(field)
        )
        field = replace(field, fields=tuple(inner))
        if self.typed is not None:
            is_json = self.was_json(field)
            return replace(field, is_json=is_json, value=self.typed.text(field.control) if is_json else "")
        if given is LEFT_OUT or self._says_object(field, schema, given):
            return field
        return replace(field, is_json=True, value=as_json(replaced(given, "")), fields=())

    @staticmethod
    def _says_object(field: Field, schema: Schema, given: Any) -> bool:
        # A secret is there, and is not drawn.
        if _may_be_left_out(field) and all(map(_is_blank, field.fields)) and not any(places(given)):
            return are_same(None if field.required else schema.get("default", LEFT_OUT), given)
        return isinstance(given, Mapping) and given.keys() <= schema["properties"].keys()

    def _one(self, field: Field, schema: Schema, given: Any) -> Field:
        if field.kind in {"enum", "boolean"}:
            options = ("true", "false") if field.kind == "boolean" else tuple(map(option_of, options_of(schema)))
            field = replace(field, options=options)
        if field.kind == "array":
            field = replace(field, items=str(plain(self.root, schema["items"])[0]["type"]))
        field = replace(field, may_be_json=_may_be_json(field, schema))
        if self.typed is not None:
            value, is_json = self.typed.text(field.control), field.is_json or self.was_json(field)
            return replace(field, value="" if field.is_secret else value, is_json=is_json)
        if given is LEFT_OUT or given == MASK or field.is_secret:
            return field
        given = replaced(given, "")
        field = _with(field, given)
        if says(field, schema, given):
            return field
        return replace(field, is_json=True, may_be_json=field.kind != "json", value=as_json(given))


def _with(field: Field, given: Any) -> Field:
    if field.is_json:
        return replace(field, value="" if given is None else as_json(given))
    if field.kind == "array":
        return replace(field, value="\n".join(map(text_of, given)) if isinstance(given, list) else "")
    value = option_of(given) if field.kind == "enum" and "null" in field.options else text_of(given)
    return replace(field, value=value, is_long=field.is_long or "\n" in value)


def _may_be_json(field: Field, schema: Schema) -> bool:
    """Whether readers may want to say what its text cannot: a number, null, that it is empty, or a line break in an
    entry of a list."""
    if field.is_json or field.is_secret:
        return False
    if field.kind == "array" and field.items == "string":
        return True
    if field.kind == "union" or (field.required and field.nullable and field.kind == "string"):
        return True
    has_default = schema.get("default") not in (None, "", [])
    return has_default and not field.required and (field.nullable or field.kind in {"string", "array"})


def _may_be_left_out(field: Field) -> bool:
    return field.nullable or not field.required


def _is_blank(field: Field) -> bool:
    return not field.value.strip() and all(map(_is_blank, field.fields))


def read(schema: Schema, form: Form) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters that were typed, and what is wrong by pointer (`NOT_JSON`, `NOT_AN_OBJECT`). What is left empty is
    left out, so that the type's default counts."""
    faults: dict[str, str] = {}
    fields = drawn(schema, typed=form)
    if fields and not fields[0].name:
        return _all(form.text(fields[0].control), faults), faults
    return _properties(schema, fields, form, plain(schema, schema)[0], faults), faults


def _all(text: str, faults: dict[str, str]) -> dict[str, Any]:
    try:
        found = json_of(text) if text.strip() else {}
    except ValueError:
        faults[""] = NOT_JSON
        return {}
    if not isinstance(found, dict):
        faults[""] = NOT_AN_OBJECT
        return {}
    return found


def _properties(
    root: Schema, fields: Iterable[Field], form: Form, schema: Schema, faults: dict[str, str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for (name, sub), field in zip((schema.get("properties") or {}).items(), fields, strict=True):
        value = _value(root, field, form, plain(root, sub)[0], faults)
        if value is not LEFT_OUT:
            found[name] = value
    return found


def _value(root: Schema, field: Field, form: Form, schema: Schema, faults: dict[str, str]) -> Any:
    if field.kind == "object" and not field.is_json:
        if _may_be_left_out(field) and all(_was_left_blank(one, form) for one in field.fields):
            return None if field.required else LEFT_OUT
        return _properties(root, field.fields, form, schema, faults)
    try:
        return value_of(field, schema, form.text(field.control))
    except ValueError:
        faults[field.name] = NOT_JSON
        return LEFT_OUT


def _was_left_blank(field: Field, form: Form) -> bool:
    """By the form, for a secret is not drawn again."""
    return not form.text(field.control).strip() and all(_was_left_blank(one, form) for one in field.fields)


def names_of(fields: Iterable[Field]) -> set[str]:
    return {field.name for field in fields} | {name for field in fields for name in names_of(field.fields)}


def sent(fields: Iterable[Field]) -> Form:
    """What a browser sends of fields that nobody has touched."""
    leaves = list(_leaves(fields))
    return Form(
        {one.control: [one.value] for one in leaves} | {AS_JSON: [one.control for one in leaves if one.is_json]}
    )


def _leaves(fields: Iterable[Field]) -> Iterator[Field]:
    for field in fields:
        if field.kind == "object" and not field.is_json:
            yield from _leaves(field.fields)
        else:
            yield field
