"""What cannot be stored is refused before it can take a batch of strangers with it."""

from __future__ import annotations

import collections
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskyard.lifecycle.batch import MAX_DEPTH, Unstorable, check_storable, encode, storable, storable_text

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=20,
)


class Share(float):
    """As other libraries' floats are: orjson refuses it."""


class Name(str):
    __slots__ = ()


Point = collections.namedtuple("Point", "x y")  # noqa: PYI024 a plain one, as libraries return them


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ("a\x00b", ""),
        ({"a": {"b": ["x", "\x00"]}}, "/a/b/1"),
        ({"k\x00": 1}, ""),
        ("\ud800", ""),
        ({"a": "\udfff"}, "/a"),
        ({"\udc80": 1}, ""),
        ([math.nan], "/0"),
        ([0, math.inf], "/1"),
        ({"a": -math.inf}, "/a"),
        (2**64, ""),
        (-(2**63) - 1, ""),
        (10**400, ""),
        ({1: "a"}, ""),
        ({Name("a"): 1}, ""),
        ({"a": b"bytes"}, "/a"),
        ({"a": {1, 2}}, "/a"),
        ({"a/b": {"c~d": b""}}, "/a~1b/c~0d"),
        ([Point(1, 2)], "/0"),
        ([Share(1.5)], "/0"),
    ],
    ids=repr,
)
def test_what_postgresql_cannot_hold_is_refused_with_its_place(value: Any, pointer: str) -> None:
    with pytest.raises(Unstorable) as caught:
        check_storable(value)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 2**64 - 1, -(2**63), 1.5, 5e-324, 1.7e308, -0.0, "", "é€😀\uffff\x01", [], {}, (1, (2,)), {"": ""}],
    ids=repr,
)
def test_what_json_can_hold_passes(value: Any) -> None:
    check_storable(value)
    orjson.dumps(value)


def nested(depth: int, *, lists: bool) -> Any:
    value: Any = 1
    for _ in range(depth - 1):
        value = [value] if lists else {"a": value}
    return value


@pytest.mark.parametrize("lists", [True, False])
def test_nesting_is_bounded(lists: bool) -> None:
    check_storable(nested(MAX_DEPTH, lists=lists))
    with pytest.raises(Unstorable, match="deeper than 32"):
        check_storable(nested(MAX_DEPTH + 1, lists=lists))
    with pytest.raises(Unstorable):
        check_storable(nested(100_000, lists=lists))


def test_a_value_that_contains_itself_is_refused_and_not_followed_for_ever() -> None:
    value: list[Any] = [1, 2, 3]
    value.extend([value, value])
    with pytest.raises(Unstorable):
        check_storable(value)


@given(ANYTHING)
def test_whatever_passes_can_be_encoded(value: Any) -> None:
    try:
        check_storable(value)
    except Unstorable:
        return
    assert orjson.loads(encode([{"value": value}])) == [{"value": value}]


@given(ANYTHING)
def test_words_of_tasks_are_made_storable_instead(value: Any) -> None:
    made = storable(value)
    check_storable(made, max_depth=MAX_DEPTH + 1)
    encode([{"value": made}])


@given(st.text(st.characters()))
def test_a_text_made_storable_keeps_its_length_and_what_was_storable(text: str) -> None:
    made = storable_text(text)
    made.encode()
    assert len(made) == len(text)
    assert all(b in (a, "\ufffd") for a, b in zip(text, made, strict=True))
    assert "\x00" not in made


def test_a_file_name_that_is_not_utf8_is_told_all_the_same() -> None:
    assert storable_text(b"report-\xff.csv".decode(errors="surrogateescape")) == "report-\ufffd.csv"
