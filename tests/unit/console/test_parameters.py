"""A schema in words."""

from __future__ import annotations

from typing import Any

from babel.support import NullTranslations

from taskyard_console.parameters import described

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["to"],
    "properties": {
        "to": {"type": "array", "items": {"$ref": "#/$defs/Person"}, "minItems": 1},
        "amount": {"type": "number", "default": 2.5, "exclusiveMinimum": 0, "maximum": 9},
        "kind": {"enum": ["card", 3], "description": "How."},
        "token": {"anyOf": [{"type": "string"}, {"type": "null"}], "writeOnly": True, "default": None},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string", "format": "email"}]},
    },
    "$defs": {"Person": {"type": "object", "properties": {"mail": {"type": "string", "format": "email"}}}},
}


def test_parameters_are_told_in_words_with_those_of_inner_objects() -> None:
    found = {one.name: one for one in described(SCHEMA, NullTranslations())}
    assert (found["to"].kind, found["to"].limits, found["to"].is_required) == (
        "list of: object",
        ("entries: at least 1",),
        True,
    )
    assert found["to[].mail"].kind == "mail address"
    assert (found["amount"].limits, found["amount"].default) == (("more than 0", "at most 9"), "2.5")
    assert (found["kind"].kind, found["kind"].description) == ("one of card, 3", "How.")
    assert (found["token"].kind, found["token"].is_secret, found["token"].default) == ("text", True, "")
    assert found["either"].kind == "whole number or mail address"


def test_a_schema_that_holds_itself_ends() -> None:
    node = {"type": "object", "properties": {letter: {"$ref": "#/$defs/Node"} for letter in "abcdefgh"}}
    assert len(described({**node, "$defs": {"Node": node}}, NullTranslations())) == 200
