"""Forms from schemas: what is drawn, what is read back, and where faults stand."""

from __future__ import annotations

from typing import Any

import pytest

from taskyard_console.forms import Form
from taskyard_console.schemas import MOST_FIELDS, NOT_AN_OBJECT, NOT_JSON, drawn, read, sent

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "customer": {"type": "string", "description": "Who pays."},
        "amount": {"type": "number", "default": 2.5},
        "copies": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "urgent": {"type": "boolean", "default": False},
        "colour": {"enum": ["red", 3, None]},
        "lines": {"type": "array", "items": {"type": "integer"}},
        "address": {"$ref": "#/$defs/Address"},
        "anything": {},
        "token": {"type": "string", "writeOnly": True},
    },
    "required": ["customer", "lines"],
    "$defs": {
        "Address": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "a/b": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        }
    },
}


def form(**fields: str) -> Form:
    return Form({name: [value] for name, value in fields.items()})


def test_each_property_is_a_field_in_the_order_of_the_declaration() -> None:
    kinds = {field.name: field.kind for field in drawn(SCHEMA)}
    assert kinds == {
        "/customer": "string",
        "/amount": "number",
        "/copies": "integer",
        "/urgent": "boolean",
        "/colour": "enum",
        "/lines": "array",
        "/address": "object",
        "/anything": "json",
        "/token": "string",
    }
    (address,) = [field for field in drawn(SCHEMA) if field.kind == "object"]
    assert [field.name for field in address.fields] == ["/address/city", "/address/a~1b"]


def test_defaults_and_given_values_stand_in_the_fields_but_secrets_do_not() -> None:
    given = {"customer": "Ada", "lines": [1, 2], "address": {"city": "Pécs"}, "token": "***", "anything": {"a": 1}}
    shown = {field.name: field.value for field in drawn(SCHEMA, given)}
    assert shown["/customer"] == "Ada"
    assert shown["/amount"] == "2.5"
    assert shown["/lines"] == "1\n2"
    assert shown["/anything"] == '{\n  "a": 1\n}'
    assert shown["/token"] == ""


def test_what_was_typed_is_read_in_the_types_of_the_schema() -> None:
    typed = {
        "/customer": "Ada",
        "/amount": "1e3",
        "/copies": "2",
        "/urgent": "true",
        "/colour": "3",
        "/lines": "1\n\n2\n",
        "/address/city": "Pécs",
        "/anything": '{"a": [1]}',
    }
    params, faults = read(SCHEMA, form(**typed))
    assert faults == {}
    assert params == {
        "customer": "Ada",
        "amount": 1000.0,
        "copies": 2,
        "urgent": True,
        "colour": 3,
        "lines": [1, 2],
        "address": {"city": "Pécs"},
        "anything": {"a": [1]},
    }


def test_what_is_left_empty_is_left_out_so_that_defaults_count() -> None:
    params, _ = read(SCHEMA, form(**{"/customer": "", "/lines": ""}))
    assert params == {"customer": "", "lines": []}


@pytest.mark.parametrize("typed", ["many", "1_0", "nan", "0x10", "१२", "1e999"])
def test_what_is_no_number_stays_text_for_the_api_to_refuse(typed: str) -> None:
    params, _ = read(SCHEMA, form(**{"/customer": "x", "/copies": typed}))
    assert params["copies"] == typed


def test_a_text_that_is_no_json_is_told_at_its_field() -> None:
    _, faults = read(SCHEMA, form(**{"/customer": "x", "/anything": "{"}))
    assert faults == {"/anything": NOT_JSON}
    (field,) = [f for f in drawn(SCHEMA, faults={"/anything": "This is not JSON."}) if f.fault]
    assert (field.name, field.fault) == ("/anything", "This is not JSON.")


def test_references_in_a_circle_end_as_json() -> None:
    schema = {"properties": {"a": {"$ref": "#/properties/a"}, "tree": {"$ref": "#/$defs/T"}}, "$defs": {}}
    assert [field.kind for field in drawn(schema)] == ["json", "json"]
    deep = {
        "properties": {"t": {"$ref": "#/$defs/T"}},
        "$defs": {"T": {"type": "object", "properties": {"t": {"$ref": "#/$defs/T"}}}},
    }
    assert drawn(deep)[0].kind == "object"


def untouched(schema: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """What a browser sends of a form that nobody has touched, read back."""
    params, faults = read(schema, sent(drawn(schema, values)))
    assert faults == {}
    return params


TEXT, NUMBER = {"type": "string"}, {"type": "number"}
NULLABLE = [TEXT, {"type": "null"}]
CURRENCY = {"anyOf": [{"type": "string", "enum": ["EUR", "USD"]}]}
INNER = {"type": "object", "properties": {"a": TEXT, "b": {"type": "integer", "default": 1}}}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ({"anyOf": NULLABLE, "default": "x"}, None),
        ({"anyOf": NULLABLE, "default": "x"}, ""),
        ({**TEXT, "default": "x"}, ""),
        ({"anyOf": NULLABLE, "default": None}, None),
        ({"anyOf": NULLABLE, "default": None}, ""),
        (TEXT, " two\nlines\r\nand a space "),
        (TEXT, "\nbegins with a line break"),
        ({"type": "array", "items": TEXT}, ["x\ny", " z ", ""]),
        ({"type": "array", "items": TEXT}, ["plain", "lines"]),
        ({"type": "array", "items": TEXT, "default": ["x"]}, []),
        ({"anyOf": [{"type": "integer"}, TEXT]}, "123"),
        ({"anyOf": [{"type": "integer"}, TEXT]}, 123),
        ({"anyOf": [{"type": "boolean"}, TEXT]}, "true"),
        ({"type": ["number", "string", "null"]}, "12.50"),
        ({"type": ["number", "string", "null"]}, 12.5),
        (NUMBER, 1),
        (NUMBER, 1.0),
        (NUMBER, 1e22),
        ({"type": "integer"}, "written by an earlier version"),
        ({"enum": ["3", 3, None]}, 3),
        ({"enum": ["3", 3, None]}, None),
        (CURRENCY, "EUR"),
        (CURRENCY, "GBP"),
        ({}, "hello"),
        ({}, "[1]"),
        ({}, None),
        ({}, {"a": [None, True, 1.0]}),
        ({"anyOf": [INNER, {"type": "null"}], "default": None}, None),
        ({"anyOf": [INNER, {"type": "null"}], "default": None}, {"a": "", "b": 2}),
        ({**INNER, "default": {"a": "x"}}, {"a": "", "b": 1}),
        (INNER, {"a": "x", "b": 1, "c": "not of the schema"}),
        (INNER, []),
    ],
)
def test_a_form_that_nobody_touches_sends_what_it_was_drawn_from(place: dict[str, Any], value: Any) -> None:
    schema = {"type": "object", "properties": {"it": place}}
    found = untouched(schema, {"it": value})
    if "it" not in found:  # the default counts
        found = {"it": place["default"]}
    assert repr(found["it"]) == repr(value)
    required = {**schema, "required": ["it"]}
    assert repr(untouched(required, {"it": value})["it"]) == repr(value)


def test_entries_with_line_breaks_are_typed_as_json_and_shown_so_where_a_task_has_them() -> None:
    schema = {"type": "object", "properties": {"it": {"type": "array", "items": TEXT}}}
    (empty,), (lines,), (broken,) = (drawn(schema, values) for values in ({}, {"it": ["a", "b"]}, {"it": ["a\nb"]}))
    assert [(one.is_json, one.may_be_json) for one in (empty, lines, broken)] == [
        (False, True),
        (False, True),
        (True, True),
    ]
    assert read(schema, form(**{"/it": '["a\\nb"]', "json": "/it"})) == ({"it": ["a\nb"]}, {})
    assert read(schema, form(**{"/it": "a\r\nb"})) == ({"it": ["a", "b"]}, {})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"$ref": "#/$defs/It", "$defs": {"It": {"type": "object", "properties": {"known": TEXT, "a": {}}}}},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": True},
    ],
)
def test_parameters_that_the_schema_does_not_name_are_kept(schema: dict[str, Any]) -> None:
    assert untouched(schema, {"a": 1, "b": {"c": [2]}}) == {"a": 1, "b": {"c": [2]}}
    (whole,) = drawn(schema, {"a": 1, "b": 2})
    assert (whole.control, whole.kind) == ("params", "json")


def test_parameters_in_one_field_are_an_object() -> None:
    schema = {"type": "object"}
    assert read(schema, form(params='{"a": 1}')) == ({"a": 1}, {})
    assert read(schema, form(params="")) == ({}, {})
    assert read(schema, form(params="[1]")) == ({}, {"": NOT_AN_OBJECT})
    assert read(schema, form(params="{")) == ({}, {"": NOT_JSON})
    (field,) = drawn(schema, faults={"": "wrong"}, typed=form(params="{"))
    assert (field.value, field.fault) == ("{", "wrong")


@pytest.mark.parametrize("typed", ["NaN", "[-Infinity]", "[" * 100_000])
def test_what_python_reads_as_json_and_is_none_is_a_fault(typed: str) -> None:
    assert read(SCHEMA, form(**{"/customer": "x", "/lines": "1", "/anything": typed}))[1] == {"/anything": NOT_JSON}


def test_a_box_lets_readers_say_null_an_empty_text_or_a_number() -> None:
    schema = {"properties": {"greeting": {**TEXT, "default": "Hi"}, "amount": {"anyOf": [NUMBER, TEXT]}, "name": TEXT}}
    assert [field.name for field in drawn(schema) if field.may_be_json] == ["/greeting", "/amount"]
    typed = Form({"/greeting": ['""'], "/amount": ["12.5"], "json": ["/greeting", "/amount"]})
    assert read(schema, typed) == ({"greeting": "", "amount": 12.5}, {})
    assert read(schema, form(**{"/greeting": "", "/amount": "12.50"})) == ({"amount": "12.50"}, {})


def test_an_object_that_may_be_left_out_is_not_sent_for_its_defaults() -> None:
    schema = {"properties": {"it": {"anyOf": [INNER, {"type": "null"}], "default": None}}}
    assert read(schema, sent(drawn(schema))) == ({}, {})


def test_masked_secrets_are_blank_wherever_they_are() -> None:
    secret = {"type": "string", "writeOnly": True}
    schema = {
        "properties": {
            "token": secret,
            "list": {"type": "array", "items": secret},
            "box": {"type": "object", "properties": {"pin": secret}},
            "free": {"type": "object"},
        }
    }
    values = {"token": "***", "list": ["***"], "box": {"pin": "***"}, "free": {"deep": ["***"]}}
    assert "***" not in repr(drawn(schema, values))
    assert [one.kind for one in drawn(schema, values)] == ["string", "array", "object", "json"]


def test_what_was_typed_is_drawn_again_as_it_was() -> None:
    typed = Form({"/customer": [" x "], "/anything": ["{half"], "/colour": ["{"], "json": ["/colour"], "/token": ["s"]})
    shown = {field.name: (field.value, field.is_json) for field in drawn(SCHEMA, typed=typed)}
    assert (shown["/customer"], shown["/anything"]) == ((" x ", False), ("{half", True))
    assert (shown["/colour"], shown["/token"]) == (("{", True), ("", False))


@pytest.mark.parametrize("value", ["text", "5", "{half", "null", "</textarea>\u202e\r\n", 5, {"a": [1]}, [], False])
def test_what_has_no_schema_comes_back_from_the_form_as_it_was(value: Any) -> None:
    schema = {"type": "object", "properties": {"any": {}}, "required": ["any"]}
    (field,) = drawn(schema, {"any": value})
    assert read(schema, form(**{"/any": field.value})) == ({"any": value}, {})


@pytest.mark.parametrize("typed", ["NaN", "-Infinity", "1e999", "[" * 100_000, "{half"])
def test_what_json_does_not_have_is_told_at_its_field(typed: str) -> None:
    schema = {"type": "object", "properties": {"any": {}}}
    assert read(schema, form(**{"/any": typed})) == ({}, {"/any": NOT_JSON})


def test_schemas_that_refer_to_each_other_have_a_bounded_form() -> None:
    properties = {f"p{i}": {"$ref": "#/$defs/all"} for i in range(100)}
    schema = {"$defs": {"all": {"type": "object", "properties": properties}}, "properties": properties}

    def count(fields: Any) -> int:
        return sum(1 + count(field.fields) for field in fields)

    assert count(drawn(schema)) <= MOST_FIELDS + len(properties)
    assert read(schema, form()) == ({}, {})
