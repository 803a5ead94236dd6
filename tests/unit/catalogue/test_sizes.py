"""The size of a JSON text: counted without parsing, and never too small."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from taskyard.catalogue.sizes import Size, has_many_digits, size_of, values_in

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_the_size_of_a_text_is_at_least_the_values_and_names_in_it(value: Any) -> None:
    text = orjson.dumps(value)
    assert size_of(text).bytes == len(text)
    assert size_of(text).values >= values_in(value) / 2
    assert values_in(value) == _counted(value)


def _counted(value: Any) -> int:
    match value:
        case dict():
            return 1 + sum(1 + _counted(inner) for inner in value.values())
        case list():
            return 1 + sum(map(_counted, value))
        case _:
            return 1


def test_a_size_fits_where_both_parts_do() -> None:
    assert Size(1, 2).fits(Size(1, 2))
    assert not Size(2, 1).fits(Size(1, 2))
    assert not Size(1, 3).fits(Size(1, 2))


def test_many_digits_are_found_whatever_they_are() -> None:
    assert has_many_digits(b"[1234567890123456789]")
    assert not has_many_digits(b"[123456789012345678,123456789012345678]")
