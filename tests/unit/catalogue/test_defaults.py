"""Defaults are filled in wherever one alternative can be meant, within bounds, and the caller's values stay."""

from typing import Any

import pytest

from taskyard.catalogue.defaults import Defaults, TooMuchAdded
from taskyard.catalogue.secret_places import SecretPlaces
from taskyard.catalogue.subschemas import subschemas

A = {"properties": {"a": {"default": 1}}}


def defaults_of(schema: Any) -> Defaults:
    parts = subschemas(schema)
    return Defaults(parts, SecretPlaces(parts).holds_secret)


@pytest.mark.parametrize(
    ("schema", "value", "filled"),
    [
        (A, {}, {"a": 1}),
        (A, {"a": None}, {"a": None}),
        (A, [], []),
        ({"properties": {"b": A}}, {"b": {}}, {"b": {"a": 1}}),
        ({"properties": {"b": A}}, {}, {}),
        ({"items": A}, [{}, {"a": 2}, 3], [{"a": 1}, {"a": 2}, 3]),
        ({"additionalProperties": A, "properties": {"x": {}}}, {"x": {}, "y": {}}, {"x": {}, "y": {"a": 1}}),
        ({"$ref": "#/$defs/a", "$defs": {"a": A}}, {}, {"a": 1}),
        ({"allOf": [A, {"properties": {"b": {"default": [2]}}}]}, {}, {"a": 1, "b": [2]}),
        ({"properties": {"b": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}},
          "$defs": {"a": {**A, "type": "object"}}}, {"b": {}}, {"b": {"a": 1}}),
        ({"anyOf": [{**A, "type": "object"}, {"type": "object"}]}, {}, {}),
        ({"anyOf": [A, {}]}, {}, {}),
        ({"$ref": "#/$defs/t", "$defs": {"t": {"properties": {"a": {"default": 1}, "t": {"$ref": "#/$defs/t"}}}}},
         {"t": {"t": {}}}, {"t": {"t": {"a": 1}, "a": 1}, "a": 1}),
    ],
)  # fmt: skip
def test_defaults_are_filled_in_along_the_schema(schema: Any, value: Any, filled: Any) -> None:
    before = str(value)
    assert defaults_of(schema).filled(value) == filled
    assert str(value) == before


def test_a_default_of_a_secret_is_left_to_the_model_which_does_not_write_it_as_stars() -> None:
    secret = {"writeOnly": True, "format": "password", "default": "***"}
    nested = {"properties": {"token": secret}, "default": {"token": "***"}}
    made = defaults_of({"properties": {"token": secret, "login": nested, "a": {"default": 1}}})
    assert made.filled({"login": {}}) == {"login": {}, "a": 1}


def test_two_values_never_share_a_default() -> None:
    made = defaults_of({"items": {"properties": {"a": {"default": []}}}}).filled([{}, {}])
    made[0]["a"].append(1)
    assert made[1]["a"] == []


def test_a_schema_without_defaults_costs_nothing() -> None:
    made = defaults_of({"properties": {"a": {"items": {"properties": {"b": {}}}}}})
    value: dict[str, Any] = {"a": [{}]}
    assert made.is_empty
    assert made.filled(value) is value


def test_defaults_of_many_items_do_not_grow_without_bounds() -> None:
    made = defaults_of({"items": {"properties": {"a": {"default": "x" * 10_000}}}})
    assert len(made.filled([{}] * 20)) == 20
    with pytest.raises(TooMuchAdded):
        made.filled([{}] * 80_000)
