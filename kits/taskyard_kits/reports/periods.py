"""The period of a report, and the buckets into which its charts divide it: hours, days or months of its time zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from taskyard import TaskError

from .declarations import MAX_DAYS

Step = Literal["hour", "day", "month"]

DEFAULT_LENGTH = timedelta(days=7)
# A chart with more bars than these cannot be read.
_HOURS_UP_TO = timedelta(days=2)
_DAYS_UP_TO = timedelta(days=62)
# The zone of the machine, that of the POSIX rules, and the one of a machine on which none is set ("-00").
_NO_IANA_NAMES = {"localtime", "posixrules", "Factory"}
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(8999, 12, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` to before `end`. `bounds`: where its buckets begin; the first one begins with the period."""

    start: datetime
    end: datetime
    zone: ZoneInfo
    step: Step
    bounds: tuple[datetime, ...]


def zone_named(name: str) -> ZoneInfo:
    """Raises TaskError `unknown_timezone`."""
    if name not in _zones():
        raise TaskError("unknown_timezone", retryable=False, timezone=name)
    return ZoneInfo(name)


@cache
def _zones() -> set[str]:
    """The names of IANA: systems keep files beside them that ZoneInfo would read as zones, too."""
    return available_timezones() - _NO_IANA_NAMES


def period_of(start: datetime | None, end: datetime | None, zone: ZoneInfo, *, now: datetime) -> Period:
    """Raises TaskError `report_period_empty`, `report_period_too_long`, `report_period_unreadable`."""
    if any(at is not None and not _FIRST <= at <= _LAST for at in (start, end)):
        raise TaskError("report_period_unreadable", retryable=False)
    until = now if end is None else end.astimezone(UTC)
    since = until - DEFAULT_LENGTH if start is None else start.astimezone(UTC)
    if since >= until:
        raise TaskError("report_period_empty", retryable=False)
    if until - since > timedelta(days=MAX_DAYS):
        raise TaskError("report_period_too_long", retryable=False, days=MAX_DAYS)
    return divided(since, until, zone)


def divided(start: datetime, end: datetime, zone: ZoneInfo) -> Period:
    length = end - start
    step: Step = "hour" if length <= _HOURS_UP_TO else "day" if length <= _DAYS_UP_TO else "month"
    bounds = [start]
    for at in _beginnings(start, zone, step):
        if at >= end:
            break
        if at > bounds[-1]:  # a day that a zone has left out begins with the next one
            bounds.append(at)
    return Period(start, end, zone, step, tuple(bounds))


def dates(period: Period) -> str:
    """The first and the last day of the period in its zone, for the name of a file."""
    last = period.end - timedelta(microseconds=1)
    first_day, last_day = (at.astimezone(period.zone) for at in (period.start, last))
    return f"{first_day:%Y-%m-%d}-{last_day:%Y-%m-%d}"


def _beginnings(start: datetime, zone: ZoneInfo, step: Step) -> Iterator[datetime]:
    """Without an end, in UTC: the begins of hours, days or months from that of `start` on. An hour that a change of the
    clocks repeats or leaves out is counted as time passes."""
    local = start.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    if step == "hour":
        at = local.astimezone(UTC)
        while True:
            yield at
            at += timedelta(hours=1)
    day = local.replace(hour=0, fold=0)
    if step == "month":
        day = day.replace(day=1)
    while True:
        yield day.astimezone(UTC)
        # On the clock of the zone: days of 23 and 25 hours are days.
        day = day + timedelta(days=1) if step == "day" else (day + timedelta(days=31)).replace(day=1)
