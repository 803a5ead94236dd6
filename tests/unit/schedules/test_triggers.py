"""The due times of triggers, beside a reference that looks at every minute of the weeks in which clocks change."""

from __future__ import annotations

import calendar
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskyard.domain.cron import MAX_CRON, MONTHS, WEEKDAYS, read_cron
from taskyard.schedules.triggers import Times, cron_times, jitter_of, times_of, zone_of

MINUTE = timedelta(minutes=1)
# When clocks go forward and back, in both hemispheres, by an hour and (Lord Howe) by half of one.
CHANGES = [
    ("Europe/Budapest", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Budapest", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Sydney", datetime(2026, 4, 4, 16, tzinfo=UTC)),
    ("Australia/Sydney", datetime(2026, 10, 3, 16, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
]


@cache
def minutes_around(zone: str, change: datetime) -> dict[datetime, datetime]:
    """What a clock on the wall shows in two days, minute by minute, with the first instant at which it does; what it
    leaves out, with the next instant that there is."""
    found: dict[datetime, datetime] = {}
    before: datetime | None = None
    for n in range(2 * 24 * 60):
        instant = change - timedelta(days=1) + n * MINUTE
        wall = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        missing = wall if before is None else before + MINUTE
        while missing < wall:
            found[missing] = instant
            missing += MINUTE
        found.setdefault(wall, instant)
        before = wall
    return found


@cache
def takes(field: str, value: int, low: int, high: int, names: tuple[str, ...] = (), first: int = 0) -> bool:
    """Whether a field of an expression takes a value, by trying all that it may mean."""
    for part in field.split(","):
        body, _, step = part.partition("/")
        body = body.replace("-sun", "-7")
        for n, name in enumerate(names, start=first):
            body = body.replace(name, str(n))
        start, _, end = body.partition("-")
        begin = low if body == "*" else int(start)
        stop = high if body == "*" or (step and not end) else int(end or start)
        if value in range(begin, stop + 1, int(step or 1)):
            return True
    return False


def is_due(expression: str, wall: datetime) -> bool:
    minute, hour, day, month, weekday = expression.split()
    in_week = (wall.weekday() + 1) % 7
    on_day = takes(day, wall.day, 1, 31) if day != "last" else wall.day == calendar.monthrange(wall.year, wall.month)[1]
    on_weekday = any(takes(weekday, n, 0, 7, WEEKDAYS) for n in ({0, 7} if in_week == 0 else {in_week}))
    either = not day.startswith("*") and not weekday.startswith("*")
    return (
        takes(minute, wall.minute, 0, 59)
        and takes(hour, wall.hour, 0, 23)
        and takes(month, wall.month, 1, 12, MONTHS, 1)
        and (on_day or on_weekday if either else on_day and on_weekday)
    )


def field(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    ranges = st.tuples(numbers, numbers).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.integers(1, 40)
    parts = st.one_of(
        numbers.map(str),
        ranges,
        st.tuples(ranges, steps).map(lambda p: f"{p[0]}/{p[1]}"),
        st.tuples(numbers, steps).map(lambda p: f"{p[0]}/{p[1]}"),
        steps.map(lambda step: f"*/{step}"),
    )
    return st.one_of(st.just("*"), st.lists(parts, min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.tuples(
    field(0, 59),
    st.one_of(field(0, 4), field(0, 23)),  # most clocks change before four
    st.one_of(st.just("*"), st.just("last"), field(1, 31)),
    st.one_of(st.just("*"), st.sampled_from(["3-4,10-11", "mar-nov", "*/1"])),
    st.one_of(st.just("*"), field(0, 7), st.sampled_from(["sun", "mon-fri", "fri-sun", "sat,sun"])),
).map(" ".join)


@settings(max_examples=30, deadline=None)
@given(EXPRESSIONS, st.sampled_from(CHANGES))
def test_times_are_those_of_a_look_at_every_minute(expression: str, change: tuple[str, datetime]) -> None:
    minutes = minutes_around(*change)
    begin, end = min(minutes.values()), max(minutes.values())
    expected = sorted({instant for wall, instant in minutes.items() if is_due(expression, wall)})
    try:
        times = Times(cron_times(expression, change[0]), end_at=end)
    except ValueError:
        assert expected == []
        return
    found = list(times.following(begin - MINUTE, len(expected) + 1))
    assert found == expected


@pytest.mark.parametrize(("zone", "change"), CHANGES, ids=[f"{zone} {at:%b}" for zone, at in CHANGES])
def test_a_time_left_out_is_due_when_the_clock_goes_on_and_a_doubled_one_once(zone: str, change: datetime) -> None:
    """Every half hour of the night: each wall time once, at instants that rise."""
    minutes = minutes_around(zone, change)
    times = cron_times("*/30 * * * *", zone)
    hours = timedelta(hours=6)
    seen = [*Times(times, end_at=change + hours).following(change - hours, 100)]
    begin, end = seen[0], seen[-1]
    walls = [wall for wall, at in minutes.items() if wall.minute % 30 == 0 and begin <= at <= end]
    assert seen == sorted({minutes[wall] for wall in walls})
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("0 0 * * 0", "0 0 * * 7"),
        ("0 0 * * sun", "0 0 * * 0"),
        ("0 0 * * 1-5", "0 0 * * mon-fri"),
        ("0 0 * * 5-7", "0 0 * * fri-sun"),
        ("0 0 * * sun-sun", "0 0 * * 0"),
        ("0 0 1 JAN *", "0 0 1 1 *"),
        ("*/15 * * * *", "0,15,30,45 * * * *"),
        ("5/20 * * * *", "5,25,45 * * * *"),
    ],
)
def test_numbers_and_names_are_crons(written: str, same: str) -> None:
    assert read_cron(written) == read_cron(same)


def test_where_both_day_fields_are_set_either_suffices() -> None:
    days = Times(cron_times("0 0 13 * fri", "UTC")).following(datetime(2026, 11, 1, tzinfo=UTC), 5)
    assert [day.day for day in days] == [6, 13, 20, 27, 4]
    both = Times(cron_times("0 0 */2 * mon", "UTC")).following(datetime(2026, 11, 1, tzinfo=UTC), 3)
    assert [day.day for day in both] == [9, 23, 7], "a star restricts nothing by itself"


@pytest.mark.parametrize(
    ("rule", "days"),
    [("last", [30, 31, 31]), ("2nd fri", [13, 11, 8]), ("last sun", [29, 27, 31]), ("1st mon,3rd mon", [2, 16, 7])],
)
def test_the_day_of_the_month_takes_apschedulers_rules(rule: str, days: list[int]) -> None:
    found = Times(cron_times(f"0 9 {rule} * *", "UTC")).following(datetime(2026, 11, 1, tzinfo=UTC), 3)
    assert [one.day for one in found] == days


@pytest.mark.parametrize(
    "text",
    [
        "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *",
        "5-1 * * * *", "* * * * fri-tue", "* * 6th_fri * *", "* * 2nd * *", "a * * * *", "1,,2 * * * *", "* * L * *",
        "0 0 30 2 *", "0 0 31 4,6,9,11 *", "٣ * * * *", "* * * * *\x00", "-1 * * * *", "@daily",
    ],
)  # fmt: skip
def test_what_is_no_cron_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_cron(text)


def test_reading_and_searching_are_bounded() -> None:
    hostile = ["*/1," * 60, "0" * MAX_CRON, "1st " * 50, "*" * 10_000_000, "1-" * 100, "0 0 29 2 *", "0 0 5th sun 2 *"]
    began = time.process_time()
    for text in hostile:
        try:
            list(Times(cron_times(text, "America/New_York")).following(datetime(2026, 1, 1, tzinfo=UTC), 100))
        except ValueError:
            continue
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "name", ["", "Europe", "../etc/passwd", "/etc/passwd", "posix/UTC", "right/UTC", "Factory", "a" * 99]
)
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="IANA"):
        zone_of(name)


def test_an_interval_counts_from_its_start_and_bounds_are_included() -> None:
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    every = {"every_seconds": 90}
    assert [*times_of(every, anchor).following(anchor, 2)] == [anchor + n * timedelta(seconds=90) for n in (1, 2)]
    start, end = anchor + timedelta(days=1), anchor + timedelta(days=1, seconds=90)
    assert [*times_of(every, anchor, start, end).following(anchor, 9)] == [start, end]
    cron = times_of({"cron": "0 0 * * *"}, anchor, start, start + timedelta(days=1))
    assert [*cron.following(anchor, 9)] == [start, start + timedelta(days=1)]


def test_one_date_is_due_once() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert [*times_of({"at": "2026-01-01T00:00:00Z"}, at).following(at - MINUTE, 9)] == [at]


@given(st.uuids(), st.datetimes(timezones=st.just(UTC)), st.floats(0.001, 86_400))
def test_jitter_is_within_its_bound_and_the_same_on_every_scheduler(
    schedule_id: UUID, due_at: datetime, most: float
) -> None:
    drawn = jitter_of(schedule_id, due_at, most)
    assert timedelta(0) <= drawn <= timedelta(seconds=most + 1e-6)
    assert drawn == jitter_of(schedule_id, due_at, most)


def test_jitter_spreads_schedules_that_are_due_at_the_same_time() -> None:
    due_at = datetime(2026, 1, 1, tzinfo=UTC)
    drawn = [jitter_of(uuid4(), due_at, 60).total_seconds() for _ in range(400)]
    assert all(sum(low <= one < low + 15 for one in drawn) > 50 for low in (0, 15, 30, 45))
