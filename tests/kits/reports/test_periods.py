"""Periods of reports and their buckets; how a language writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from taskyard.catalogue.words import check_template
from taskyard_kits.reports.charts import rounded_up
from taskyard_kits.reports.languages import language_of
from taskyard_kits.reports.periods import Period, divided
from taskyard_kits.reports.texts import TEXTS

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def lengths(period: Period) -> list[timedelta]:
    ends = (*period.bounds[1:], period.end)
    return [end - start for start, end in zip(period.bounds, ends, strict=True)]


def hours(*counts: float) -> list[timedelta]:
    return [timedelta(hours=n) for n in counts]


def test_days_begin_at_midnight_of_the_zone_and_have_the_hours_that_they_have() -> None:
    spring = divided(at("2026-03-28T12:00+01:00"), at("2026-03-31T00:00+02:00"), BERLIN)
    assert (spring.step, lengths(spring)) == ("day", hours(12, 23, 24))
    autumn = divided(at("2026-10-24T00:00+02:00"), at("2026-10-26T12:00+01:00"), BERLIN)
    assert lengths(autumn) == hours(24, 25, 12)


def test_hours_are_those_of_the_zone() -> None:
    period = divided(at("2026-01-01T00:10Z"), at("2026-01-01T02:10Z"), ZoneInfo("Asia/Kolkata"))
    assert period.step == "hour"
    assert lengths(period) == [timedelta(minutes=20), timedelta(hours=1), timedelta(minutes=40)]
    repeated = divided(at("2026-10-25T02:00+02:00"), at("2026-10-25T04:00+01:00"), BERLIN)
    assert lengths(repeated) == hours(1, 1, 1)
    assert language_of("en").buckets(repeated) == ["02:00", "02:00", "03:00"]


def test_long_periods_are_divided_by_months() -> None:
    period = divided(at("2025-11-15T00:00+01:00"), at("2026-11-16T00:00+01:00"), BERLIN)
    assert (period.step, len(period.bounds)) == ("month", 13)
    assert language_of("hu").buckets(period)[:3] == ["2025. 11.", "2025. 12.", "2026. 01."]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns"])
@pytest.mark.parametrize("length", [0.001, 1, 47, 49, 24 * 62, 24 * 63, 24 * 366])
def test_bounds_rise_within_the_period_and_are_few(zone: str, length: float) -> None:
    start = at("2011-12-20T03:17:00Z")  # Samoa left out the 30th of December 2011
    period = divided(start, start + timedelta(hours=length), ZoneInfo(zone))
    assert period.bounds[0] == start
    assert all(span > timedelta(0) for span in lengths(period))
    assert len(period.bounds) <= 64


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "\N{EN DASH}"), (0, "0,000 s"), (0.0421, "0,042 s"), (1.234, "1,23 s"), (12.34, "12,3 s"),
        (99.99, "100,0 s"), (100, "1 min 40 s"), (3_599.9, "1 h 0 min"), (3_660, "1 h 1 min"), (90_000, "1 d 1 h"),
    ],
)  # fmt: skip
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert language_of("de_AT").seconds(seconds).replace("\N{NO-BREAK SPACE}", " ") == text


def test_every_text_is_there_in_all_languages_with_the_same_values() -> None:
    for name, words in TEXTS.items():
        assert words.keys() == {"en", "de", "fr", "hu"}, name
        assert len({check_template(text) for text in words.values()}) == 1, name


@pytest.mark.parametrize(
    ("most", "end"), [(0, 4), (1, 4), (4, 4), (5, 8), (8, 8), (9, 10), (11, 20), (81, 100), (2**63, 1e19)]
)
def test_an_axis_ends_at_a_round_number_that_is_large_enough(most: int, end: float) -> None:
    assert rounded_up(most) == end
