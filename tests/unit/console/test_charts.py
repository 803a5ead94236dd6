"""Charts are plain SVG: nothing in them is blocked by the pages' policy, or made of what others wrote."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel.support import NullTranslations
from markupsafe import Markup

import taskyard_console
from taskyard_client import Statistics
from taskyard_console import charts, over_time
from taskyard_console.axes import figure_ticks, time_ticks
from taskyard_console.chart_shapes import LINES, TONES
from taskyard_console.formats import UTC_ZONE

HOSTILE = "<script>alert(1)</script>"
AT = datetime(2026, 1, 31, tzinfo=UTC)
VISIT: Any = SimpleNamespace(words=NullTranslations(), language="en", zone=UTC_ZONE)
GROUNDS = ("#ffffff", "#14181d")


def times(figures: charts.Figures) -> charts.Times:
    """A minute apart."""
    return charts.Times([AT + timedelta(minutes=n) for n, _ in enumerate(figures)], zone=UTC_ZONE, language="en")


def lines(*series: tuple[str, charts.Figures], unit: str = "number") -> Markup:
    return charts.lines(times(series[0][1]), series, unit=unit).svg


def stacked(*series: tuple[str, str, charts.Figures], **more: Any) -> Markup:
    return charts.stacked(times(series[0][2]), series, step=60, **more).svg


def test_a_chart_has_neither_style_nor_script_nor_a_background() -> None:
    for drawn in (
        lines((HOSTILE, [1.0, 2.0]), ("b", [3.0, 4.0])),
        stacked((HOSTILE, "good", [1.0]), ("b", "bad", [2.0])),
    ):
        assert "<script" not in drawn
        assert "&lt;script" in drawn
        assert "style" not in drawn
        assert 'viewBox="0 0 440 200"' in drawn


def test_a_chart_of_nothing_but_zeros_is_drawn_and_one_without_figures_is_not() -> None:
    assert lines(("a", [0.0, 0.0, 0.0])).startswith("<svg")
    assert lines(("a", [None, None])) == ""
    assert stacked(("a", "good", [0.0, None])) == ""
    none, nothing = ("a", "good", [0.0, None]), ("b", "bad", [None, None])
    assert "<rect" in stacked(none, nothing, with_all=True)
    assert stacked(nothing, with_all=True) == ""
    assert charts.spark((), label="") == charts.spark((0, None), label="") == ""


def test_the_reader_who_points_at_a_place_is_told_its_time_and_figures() -> None:
    drawn = lines(("p50", [1.0, 90.5]), ("p99", [None, 3600.0]), unit="seconds")
    assert re.findall(r"<title>(.*?)</title>", drawn, re.DOTALL) == [
        "31 Jan 2026, 00:00:00\np50: 1.0 s",
        "31 Jan 2026, 00:01:00\np50: 1 min 30 s\np99: 1 hr",
    ]
    series = [("good", "good", [1200.0, 0.0]), ("bad", "bad", [0.0, 0.0])]
    drawn = stacked(*series, with_all=True)
    assert re.findall(r"<title>(.*?)</title>", drawn, re.DOTALL) == [
        "31 Jan 2026, 00:00:00\ngood: 1,200",
        "31 Jan 2026, 00:01:00\ngood: 0\nbad: 0",
    ]


def test_the_table_beside_a_chart_has_the_figures_of_each_time_that_has_one() -> None:
    told = charts.lines(times([None, 1.0, 2.0]), [("p50", [None, 1.0, 90.5]), ("p99", [None] * 3)], unit="seconds")
    assert told.rows == [("31 Jan 2026, 00:01:00", "1.0 s", ""), ("31 Jan 2026, 00:02:00", "1 min 30 s", "")]
    told = charts.stacked(times([0, 1200, None]), [("a", "good", [0, 1200, None]), ("b", "bad", [0, 0, 0])], step=60)
    assert told.rows == [("31 Jan 2026, 00:01:00", "1,200", "0")]
    assert "b" not in re.findall(r">([^<]+)</text>", told.svg), "what never was is in the table alone"
    assert charts.lines(times([None]), [("a", [None])]) == charts.NOTHING


def test_a_bar_whose_time_is_not_over_is_pale() -> None:
    until = AT + timedelta(minutes=1, seconds=30)
    drawn = stacked(("a", "good", [3.0, 1.0]), until=until)
    over, not_over = re.findall(r"<path [^>]*/>", drawn)
    assert ["fill-opacity" in path for path in (over, not_over)] == [False, True]
    assert [path.count("M") for path in (over, not_over)] == [1, 1]
    assert '"M0.0 ' in over


def test_a_spark_tells_in_words_what_it_shows() -> None:
    drawn = over_time.spark([1, None, 1200, 3], VISIT)
    assert 'role="img" aria-label="1,200 at most, 3 at the end"' in drawn
    assert "<title>1,200 at most, 3 at the end</title>" in drawn
    assert over_time.spark([0, 0], VISIT) == '<span class="none">0</span>'
    assert over_time.spark([None], VISIT) == over_time.spark([], VISIT) == '<span class="none">\u2013</span>'
    assert "<b>" not in charts.spark((1,), label='"<b>')


def test_statistics_without_attempts_do_not_say_that_nothing_was_measured() -> None:
    lasted: dict[str, Any] = {"run": {}, "wait": {}}
    none = {"succeeded": 0, "failed": 0, "retried": 0, "crashed": 0, "cancelled": 0, **lasted}
    series = {"window": "hour", "step_seconds": 60, "from": AT, "to": AT, "types": [], "errors": []}
    told = Statistics.model_validate({**series, "points": [{"at": AT, **none}], "totals": none})
    assert [one.nothing for one in over_time.of_attempts(told, VISIT)] == ["No attempt that ended was counted."] * 3


def test_a_spark_has_a_bar_for_each_figure_and_the_most_is_as_high_as_its_cell() -> None:
    [d] = re.findall(
        r'<path fill="#d0453a" d="([^"]+)" />', charts.spark((8, 0, None, 1000), label="", tone="bad", height=28)
    )
    assert re.findall(r"M([\d.]+) 27v-([\d.]+)", d) == [("0.0", "1.0"), ("90.0", "27.0")], "the least is seen, too"


def test_a_gap_interrupts_a_line_and_a_point_alone_is_seen() -> None:
    drawn = lines(("a", [1.0, 2.0, None, 3.0, None, 4.0, 5.0]))
    paths = re.findall(r'<path[^>]* d="([^"]+)"', drawn)
    assert len(paths) == 3
    assert [path.endswith("h0") for path in paths] == [False, True, False]


def test_bars_stand_on_each_other_and_the_least_is_seen() -> None:
    drawn = stacked(("a", "good", [900.0]), ("b", "bad", [1.0]))
    bars = re.findall(r'<path d="M[\d.]+ ([\d.]+)v-([\d.]+)h[\d.]+v[\d.]+z" />', drawn)
    (low_ground, low), (high_ground, high) = ((float(ground), float(height)) for ground, height in bars)
    assert high >= 1.0
    assert high_ground <= low_ground - low + 0.11


def test_lines_and_bars_are_told_apart_on_both_grounds_and_without_colour() -> None:
    for colour in (*TONES.values(), *(colour for colour, _ in LINES)):
        assert min(contrast(colour, ground) for ground in GROUNDS) >= 3
    assert len({dashes for _, dashes in LINES}) == len(LINES)
    patterns = (Path(taskyard_console.__file__).parent / "templates" / "patterns.html").read_text()
    assert {tone for tone in TONES if f'id="tone-{tone}"' in patterns} == TONES.keys() - {"good", "plain"}
    for tone in TONES.keys() - {"good", "plain"}:
        assert TONES[tone] in patterns


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("most", "unit", "language", "named"),
    [
        (0, "number", "en", ["0", "1"]),
        (3, "number", "en", ["0", "1", "2", "3"]),
        (3_700, "number", "de", ["0", "1.000", "2.000", "3.000", "4.000"]),
        (0.034, "seconds", "en", ["0 s", "0.01 s", "0.02 s", "0.03 s", "0.04 s"]),
        (0.5, "seconds", "hu", ["0 s", "0,2 s", "0,4 s", "0,6 s"]),
        (700, "seconds", "en", ["0 s", "5 mins", "10 mins", "15 mins"]),
        (1_500_000, "bytes", "en", ["0 B", "512 KiB", "1 MiB", "1.5 MiB"]),
        (0.9, "share", "en", ["0%", "50%", "100%"]),
    ],
)
def test_figures_have_round_ticks_in_the_readers_language(
    most: float, unit: str, language: str, named: list[str]
) -> None:
    ticks = figure_ticks(most, unit, language)
    assert ticks.values[-1] >= most
    assert [ticks.named(value) for value in ticks.values] == named


def test_times_have_round_ticks_in_the_readers_zone_also_where_the_clock_is_put_forward() -> None:
    zone, at = ZoneInfo("Europe/Budapest"), datetime(2026, 3, 28, 17, 7, tzinfo=UTC)
    named = {}
    for name, lasts in (("hour", timedelta(hours=1)), ("day", timedelta(days=1)), ("month", timedelta(days=31))):
        ticks = time_ticks(at, at + lasts, zone, "en")
        named[name] = [ticks.named(value) for value in ticks.values]
    assert named["hour"] == ["18:15", "18:30", "18:45", "19:00"]
    assert named["day"] == ["00:00", "06:00", "12:00", "18:00"]
    assert named["month"] == ["4 Apr", "11 Apr", "18 Apr", "25 Apr"]
