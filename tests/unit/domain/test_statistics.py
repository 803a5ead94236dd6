"""Percentiles out of buckets, windows and their points, and the bounds of groups of failures."""

import random
from bisect import bisect_right
from datetime import UTC, datetime, timedelta

import pytest

from taskyard.domain import error_groups
from taskyard.domain.error_groups import OTHER, Group, Groups
from taskyard.domain.statistics import BOUNDS, Window, added, percentile


def buckets_of(values: list[float]) -> list[int]:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[bisect_right(BOUNDS, value)] += 1
    return counts


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_percentile_is_within_19_percent_of_the_true_one(share: float) -> None:
    made = random.Random(7)
    for scale in (0.01, 1.0, 600.0):
        values = sorted(made.lognormvariate(0, 1.5) * scale for _ in range(10_001))
        found = percentile(buckets_of(values), share)
        assert found is not None
        assert abs(found / values[int(share * 10_000)] - 1) <= 0.19 + 0.01  # two neighbours may differ by one bucket


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile([], 0.5) is None
    assert percentile([0, 0], 0.99) is None


def test_histograms_of_unequal_lengths_add_up() -> None:
    assert added([1, 2], [0, 0, 3]) == added([0, 0, 3], [1, 2]) == [1, 2, 3]
    assert added([], []) == []


def test_points_begin_at_whole_steps_of_utc() -> None:
    at = datetime(2026, 3, 4, 17, 44, 59, tzinfo=UTC)
    assert [window.begin_of(at) for window in Window] == [
        at.replace(second=0),
        at.replace(minute=30, second=0),
        at.replace(hour=12, minute=0, second=0),
    ]
    assert all(window.length % window.step == timedelta(0) for window in Window)


def test_the_group_of_a_failure_has_the_same_id_whenever_it_is_seen() -> None:
    one = Group("q", "billing.send", "boom", "billing:send")
    assert one.id == Group("q", "billing.send", "boom", "billing:send").id
    assert one.id != one._replace(queue="other").id


def test_places_and_codes_beyond_their_bounds_go_into_one_group() -> None:
    groups = Groups(set())
    of = [groups.of(Group("q", "t", "boom", f"m:f{n}")) for n in range(error_groups.MOST_PLACES + 5)]
    assert len(set(of)) == error_groups.MOST_PLACES + 1
    assert of[-1] == Group("q", "t", "boom", OTHER)
    codes = [groups.of(Group("q", "t", f"code{n}", "m:f")) for n in range(error_groups.MOST_CODES + 5)]
    assert codes[-1] == Group("q", "t", OTHER, "")
    assert len({group.code for group in codes}) == error_groups.MOST_CODES
    assert groups.of(Group("q", "t", "boom", "m:f1")) == of[1], "known ones stay"


def test_the_number_of_groups_is_bounded() -> None:
    groups = Groups(set(), others=error_groups.MOST_GROUPS)
    assert groups.of(Group("q", "t", "boom", "m:f")) == Group("q", "t", OTHER, "")
