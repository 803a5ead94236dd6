"""Times and durations as each language says them, and never far from what was measured."""

from __future__ import annotations

from datetime import timedelta

import pytest
from babel.numbers import format_decimal

from taskyard_console.formats import Formats


@pytest.mark.parametrize(
    ("language", "minutes", "days", "ahead"),
    [
        ("en", "3 min ago", "2 days ago", "in 2 days"),
        ("de", "vor 3 Min.", "vor 2 Tagen", "in 2 Tagen"),
        ("fr", "il y a 3 minutes", "il y a 2 jours", "dans 2 jours"),
        ("hu", "3 perccel ezelőtt", "2 nappal ezelőtt", "2 nap múlva"),
    ],
)
def test_past_and_future_have_the_words_of_the_language(language: str, minutes: str, days: str, ahead: str) -> None:
    formats = Formats(language)
    assert formats.ago(timedelta(minutes=3)) == minutes
    assert formats.ago(timedelta(days=2)) == days
    assert formats.ahead(timedelta(days=2)) == ahead


def test_what_a_clock_ahead_of_ours_has_noted_is_past_all_the_same() -> None:
    assert Formats("en").ago(timedelta(seconds=-5)) == "1 sec ago"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0.000 s"),
        (0.123, "0.12 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min"),
        (91, "1 min 31 s"),
        (149, "2 mins 29 s"),
        (3_599.7, "1 hr"),
        (5_400, "1 hr 30 mins"),
        (8_999, "2 hrs 30 mins"),
        (86_399, "1 day"),
        (130 * 3_600, "5 days 10 hrs"),
        (-91, "-1 min 31 s"),
    ],
)
def test_a_duration_is_told_in_two_units(seconds: float, told: str) -> None:
    assert Formats("en").duration(seconds) == told
    assert Formats("en").duration(timedelta(seconds=seconds)) == told


@pytest.mark.parametrize(
    ("language", "told"), [("de", "1 Min. 31 s"), ("fr", "1\xa0min 31 s"), ("hu", "1 p 31 s"), ("en", "1 min 31 s")]
)
def test_the_units_are_those_of_the_language(language: str, told: str) -> None:
    assert Formats(language).duration(91) == told


def test_the_seconds_are_told_as_they_were_measured() -> None:
    assert Formats("en").seconds(8999.25) == "8,999.25 s"
    assert Formats("de").seconds(timedelta(seconds=91.5)) == "91,5 s"


@pytest.mark.parametrize("language", ["en", "de", "fr", "hu"])
@pytest.mark.parametrize(
    "value", [0.0, 0.0004, 0.05, 0.5, 7.0, 59.94, 999.5, 1000.0, 8999.25, 46_812.123, 12_345_678.9]
)
def test_measured_times_are_written_as_cldr_has_them(language: str, value: float) -> None:
    of, locale = Formats(language), "en_GB" if language == "en" else language
    assert of.seconds(value) == f"{format_decimal(value, '#,##0.###', locale=locale)} s"
    if value < 59:
        digits = "0.000" if value < 0.1 else "0.00" if value < 1 else "0.0"
        assert of.duration(value) == f"{format_decimal(value, digits, locale=locale)} s"
