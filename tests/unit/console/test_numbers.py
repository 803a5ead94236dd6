"""Numbers that readers type, and as they stand in fields."""

from __future__ import annotations

import pytest

from taskyard_console.formats import number_from, number_text


@pytest.mark.parametrize(
    ("language", "typed", "meant"),
    [
        ("en", "1,000", 1000),
        ("de", "1.000", 1000),
        ("fr", "1 000", 1000),
        ("fr", "1\u202f000", 1000),
        ("hu", "1 000,5", 1000.5),
        ("en", "1.000", 1),
        ("de", "1,000", 1),
        ("en", "0,01", 0.01),
        ("de", "0.125", 0.125),
        ("de", "2.5", 2.5),
        ("en", "10,000.5", 10_000.5),
        ("en", " 7 ", 7),
    ],
)
def test_marks_mean_what_they_mean_in_the_readers_language(language: str, typed: str, meant: float) -> None:
    assert number_from(typed, language) == meant


@pytest.mark.parametrize("typed", ["many", "", "nan", "inf", "1,00,0", "1.2.3", "1,000,00", "9" * 5_000])
def test_what_is_no_number_is_refused(typed: str) -> None:
    with pytest.raises(ValueError):
        number_from(typed, "en")


@pytest.mark.parametrize("language", ["en", "de", "fr", "hu"])
@pytest.mark.parametrize("value", [0.0003, 0.5, 1.125, 2.0, 1_234.567, 100_000])
def test_a_number_that_stands_in_a_field_is_read_as_it_was(language: str, value: float) -> None:
    assert number_from(number_text(value, language), language) == value
