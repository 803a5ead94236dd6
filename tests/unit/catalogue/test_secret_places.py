"""Places marked as secret by the schema are sealed through every combinator, whether it matches or not."""

from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import BaseModel

from taskyard.admission.plain import Plain
from taskyard.catalogue.secret_places import SecretPlaces
from taskyard.catalogue.secrets import Cipher, Secret, opened, reserved_place, revealed, sealed_at
from taskyard.catalogue.subschemas import subschemas
from taskyard.catalogue.types import Params, Result, TaskType

MARK = {"writeOnly": True, "format": "password"}
TOKEN = {"properties": {"token": MARK}}
CIPHER = Cipher([Fernet.generate_key().decode()])


def sealed(schema: Any, value: Any) -> Any:
    return SecretPlaces(subschemas(schema)).sealed(value, lambda plain: f"sealed {plain}")


@pytest.mark.parametrize(
    "schema",
    [
        TOKEN,
        {"anyOf": [{"type": "null"}, TOKEN]},
        {"oneOf": [{"required": ["x"]}, TOKEN]},
        {"allOf": [{}, {"allOf": [TOKEN]}]},
        {"not": TOKEN},
        {"if": TOKEN},
        {"if": {"required": ["x"]}, "then": TOKEN},
        {"if": True, "else": TOKEN},
        {"dependentSchemas": {"absent": TOKEN}},
        {"$ref": "#/$defs/t", "$defs": {"t": TOKEN}},
        {"patternProperties": {"^tok": MARK}},
        {"properties": {"token": {"type": "null"}}, "patternProperties": {"en$": {"anyOf": [MARK, {}]}}},
        {"additionalProperties": MARK, "properties": {"user": {}}},
        {"properties": {"token": {"anyOf": [{"anyOf": [MARK]}, {"type": "null"}]}}},
        {"properties": {"token": {"$ref": "#/$defs/s"}}, "$defs": {"s": MARK}},
        {"properties": {"token": {"contentMediaType": "application/json", "contentSchema": TOKEN}}},
    ],
)
def test_a_marked_place_is_sealed_and_no_other(schema: Any) -> None:
    assert sealed(schema, {"token": "t", "user": "eva"}) == {"token": "sealed t", "user": "eva"}
    assert sealed(schema, {"token": None, "user": "eva"}) == {"token": None, "user": "eva"}, "null tells nothing"


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"properties": {"a": {"items": MARK}}}, {"a": ["x", None]}, {"a": ["sealed x", None]}),
        ({"properties": {"a": {"prefixItems": [{}, MARK]}}}, {"a": [1, 2, 3]}, {"a": [1, "sealed 2", 3]}),
        ({"properties": {"a": {"prefixItems": [{}], "items": MARK}}}, {"a": [1, 2]}, {"a": [1, "sealed 2"]}),
        ({"properties": {"a": {"contains": MARK}}}, {"a": [1]}, {"a": ["sealed 1"]}),
        ({"properties": {"a": {**MARK, "properties": {"b": {}}}}}, {"a": {"b": 1}}, {"a": "sealed {'b': 1}"}),
        ({"properties": {"a/b": {"properties": {"c~": MARK}}}}, {"a/b": {"c~": 1}}, {"a/b": {"c~": "sealed 1"}}),
        (
            {"$ref": "#/$defs/t", "$defs": {"t": {"properties": {"t": {"$ref": "#/$defs/t"}, "p": MARK}}}},
            {"t": {"t": {"p": 1}}, "p": 2},
            {"t": {"t": {"p": "sealed 1"}}, "p": "sealed 2"},
        ),
        # Marked where a value of another type was meant: sealed as a whole
        ({"properties": {"a": {"anyOf": [MARK, {"type": "object"}]}}}, {"a": {"b": 1}}, {"a": "sealed {'b': 1}"}),
        # Either mark is enough
        (
            {"properties": {"a": {"writeOnly": True}, "b": {"format": "password"}}},
            {"a": 1, "b": 2},
            {"a": "sealed 1", "b": "sealed 2"},
        ),
    ],
)  # fmt: skip
def test_marks_are_followed_through_members_and_items(schema: Any, value: Any, expected: Any) -> None:
    before = str(value)
    assert sealed(schema, value) == expected
    assert str(value) == before


def test_a_schema_without_marks_costs_nothing() -> None:
    places = SecretPlaces(subschemas({"properties": {"a": {}}, "$defs": {"unused": TOKEN}}))
    value = {"a": [1]}
    assert places.is_empty
    assert places.sealed(value, str) is value


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"$secret": "x"}, ""), ({"a": {"$secret": 1}}, "/a"), ({"a/b": [1, {"$secret": None}]}, "/a~1b/1"),
        ({"a": {"$secret": 1, "b": 2}}, None), ({"a": "$secret"}, None), ([], None), (None, None),
    ],
)  # fmt: skip
def test_what_looks_as_if_it_were_sealed_is_found_at_any_depth(value: Any, place: str | None) -> None:
    assert reserved_place(value) == place


def test_every_sealed_value_is_opened_and_known_to_be_struck_out() -> None:
    stored = {"a": [CIPHER.seal("one-secret")], "b": {"c": CIPHER.seal({"user": "eva", "pin": 1234567})}, "d": "plain"}
    plain, texts = opened(stored, CIPHER)
    assert plain == {"a": ["one-secret"], "b": {"c": {"user": "eva", "pin": 1234567}}, "d": "plain"}
    assert set(texts) == {"one-secret", '{"user":"eva","pin":1234567}', "eva", "1234567"}


class Ambiguous(Params):
    """By schema, `value` may be secret; the model takes it for a plain number."""

    value: Secret[str] | int


class Nothing(Result):
    pass


def test_a_value_that_may_be_secret_is_sealed_read_and_struck_out() -> None:
    places = SecretPlaces(subschemas(Ambiguous.model_json_schema()))
    kind = TaskType(name="test.ambiguous", description="", params=Ambiguous, result=Nothing)
    stored = places.sealed({"value": 7654321}, CIPHER.seal)
    assert stored["value"].keys() == {"$secret"}
    plain, texts = opened(stored, CIPHER)
    assert kind.read(stored, CIPHER) == kind.validated(plain, CIPHER) == Ambiguous(value=7654321)
    assert texts == ["7654321"]


def test_secrets_that_a_task_passes_on_are_unwrapped_and_sealed_again() -> None:
    given = {"a": Secret("one"), "b": [Secret(None), {"c": Secret("two")}], "d": 1}
    read = Plain(given)
    plain, places = read.value, read.secrets
    assert plain == {"a": "one", "b": [None, {"c": "two"}], "d": 1}
    again = sealed_at(plain, places, CIPHER.seal)
    assert again["b"][0] is None
    assert again["a"].keys() == {"$secret"}
    assert sealed_at(again, places, CIPHER.seal) == again, "once is enough"
    assert opened(again, CIPHER)[0] == plain
    assert plain["a"] == "one", "the given values are not changed"


class Login(BaseModel):
    secret: Secret[dict[str, str]]


def test_a_secret_structure_is_struck_out_as_a_whole_and_part_by_part() -> None:
    model = Login.model_validate({"secret": {"user": "eva-lotta"}})
    assert set(revealed(model)) == {'{"user":"eva-lotta"}', "eva-lotta"}
