"""The due times of a trigger.

The rule for daylight saving: a time that is left out is due at the next instant that exists, and one that occurs twice
is due the first time only. APScheduler's own time zones do otherwise (docs/decisions/0032-schedules.md), so it computes
the times of a cron expression on the wall clock, as if that were UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from ..domain.cron import WEEKDAYS, Cron, read_cron
from ..domain.messages import message

# Bounds the search of APScheduler, which would go on to the year 9999: an expression that is due on 29 February and a
# weekday only is due every 28 years, or 40.
_END = datetime(2300, 1, 1, tzinfo=UTC)
_KEPT = 16_384  # compiled expressions: APScheduler takes ten times as long to read one as to find its next time
_SECOND = timedelta(seconds=1)


class Trigger(Protocol):
    def after(self, instant: datetime) -> datetime | None:
        """The first due time later than this instant, both in UTC; None: there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Interval:
    every: timedelta
    anchor: datetime
    """Due first; without a `start_at`, `every` later than the schedule was made."""

    def after(self, instant: datetime) -> datetime | None:
        steps = (instant - self.anchor) // self.every + 1
        return self.anchor + max(0, steps) * self.every


@dataclass(frozen=True, slots=True)
class OneDate:
    at: datetime

    def after(self, instant: datetime) -> datetime | None:
        return self.at if self.at > instant else None


@dataclass(frozen=True, slots=True)
class CronTimes:
    walls: BaseTrigger
    zone: ZoneInfo

    def after(self, instant: datetime) -> datetime | None:
        # A wall clock goes back once a year, so what follows on it may be earlier than the instant.
        wall = instant.astimezone(self.zone).replace(tzinfo=UTC, fold=0)
        while (wall := self.walls.get_next_fire_time(wall, wall)) is not None:
            found = instant_of(wall.replace(tzinfo=None), self.zone)
            if found > instant:
                return found
        return None


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which a clock in this zone shows this time, or would have: the first of two, the next that exists
    where there is none."""
    found = wall.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
        return found
    # Left out: the clocks were put forward at an instant between these, where the offset changes.
    low, high = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), found
    before = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high


@lru_cache(_KEPT)
def cron_times(text: str, timezone: str) -> CronTimes:
    """Raises ValueError with a message."""
    cron, zone = read_cron(text), zone_of(timezone)
    if not cron.either:
        return CronTimes(_wall(cron, _days(cron), _weekdays(cron)), zone)
    return CronTimes(OrTrigger([_wall(cron, _days(cron), "*"), _wall(cron, "*", _weekdays(cron))]), zone)


def _wall(cron: Cron, day: str, day_of_week: str) -> CronTrigger:
    return CronTrigger(
        minute=_listed(cron.minutes, 60),
        hour=_listed(cron.hours, 24),
        day=day,
        month=_listed(cron.months, 12),
        day_of_week=day_of_week,
        second=0,
        timezone=UTC,
        end_date=_END,
    )


def _days(cron: Cron) -> str:
    return ",".join([*cron.rules, *map(str, sorted(cron.days))]) if len(cron.days) < 31 else "*"


def _weekdays(cron: Cron) -> str:
    return ",".join(WEEKDAYS[day] for day in sorted(cron.weekdays)) if len(cron.weekdays) < 7 else "*"


def _listed(numbers: frozenset[int], all_of_them: int) -> str:
    return "*" if len(numbers) == all_of_them else ",".join(map(str, sorted(numbers)))


_ZONE = re.compile(r"(?!posix/|right/)[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", re.ASCII)


@lru_cache(1024)
def zone_of(name: str) -> ZoneInfo:
    """An IANA time zone. Raises ValueError with a message."""
    try:
        if len(name) <= 64 and _ZONE.fullmatch(name) and name != "Factory":
            return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        pass
    raise ValueError(message("{field} must be an IANA time zone, as Europe/Budapest", field="`timezone`"))


@dataclass(frozen=True, slots=True)
class Times:
    """The due times of a schedule: those of its trigger from `start_at` to `end_at`, both included."""

    trigger: Trigger
    start_at: datetime | None = None
    end_at: datetime | None = None

    def after(self, instant: datetime) -> datetime | None:
        if self.start_at is not None and instant < self.start_at:
            instant = self.start_at - timedelta(microseconds=1)
        found = self.trigger.after(instant)
        return None if found is None or (self.end_at is not None and found > self.end_at) else found

    def following(self, instant: datetime, count: int) -> Iterator[datetime]:
        """Up to `count` due times after this instant."""
        found: datetime | None = instant
        for _ in range(count):
            if found is None or (found := self.after(found)) is None:
                return
            yield found


def times_of(
    trigger: Mapping[str, Any], anchor: datetime, start_at: datetime | None = None, end_at: datetime | None = None
) -> Times:
    """Of a trigger as it is stored: `{"cron", "timezone"}`, `{"every_seconds"}` or `{"at"}`. `anchor` is the instant
    from which an interval counts. Raises ValueError with a message."""
    match trigger:
        case {"cron": str(text)}:
            made: Trigger = cron_times(text, trigger.get("timezone") or "UTC")
        case {"every_seconds": int(seconds)}:
            made = Interval(timedelta(seconds=seconds), start_at or anchor)
        case {"at": at}:
            made = OneDate(at if isinstance(at, datetime) else datetime.fromisoformat(at))
        case _:
            raise ValueError(message("There is no such trigger."))
    return Times(made, start_at, end_at)


def jitter_of(schedule_id: UUID, due_at: datetime, most_seconds: float) -> timedelta:
    """By how much this due time is put off: always the same, so that every scheduler computes the same."""
    if not most_seconds:
        return timedelta(0)
    drawn = blake2b(schedule_id.bytes + due_at.isoformat().encode(), digest_size=8).digest()
    return timedelta(seconds=round(most_seconds * int.from_bytes(drawn) / 2**64, 6))
