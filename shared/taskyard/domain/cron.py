"""Cron expressions of five fields, with cron's numbers: 0 and 7 are Sunday. Read here; `taskyard.schedules.triggers`
computes the times.

Beside numbers, names, ranges, lists and steps, the day of the month takes APScheduler's rules: `last`, `2nd fri`,
`last sun`. As in cron, a day field that begins with `*` restricts nothing by itself; where both day fields are set,
either suffices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .messages import marked, message

MAX_CRON = 200

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
ORDINALS = ("1st", "2nd", "3rd", "4th", "5th", "last")
LAST = "last"

_NAMES_OF_DAYS = "|".join(WEEKDAYS)
# "2nd fri" is one part of a field, written with a blank.
_RULE_OF_DAY = re.compile(rf"\b({'|'.join(ORDINALS)}) +({_NAMES_OF_DAYS})\b")
_VALUE = "([0-9]{1,4}|[a-z]{3})"
_PART = re.compile(rf"(?:(\*)|{_VALUE}(?:-{_VALUE})?)(?:/0*([1-9][0-9]{{0,3}}))?", re.ASCII)
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class _Field(NamedTuple):
    """`last` is the highest number that may be written: as a day of the week, 7 is Sunday again."""

    name: str
    first: int
    last: int
    names: Mapping[str, int] = {}
    has_rules: bool = False


_FIELDS = (
    _Field(marked("minute"), 0, 59),
    _Field(marked("hour"), 0, 23),
    _Field(marked("day of the month"), 1, 31, has_rules=True),
    _Field(marked("month"), 1, 12, {name: n for n, name in enumerate(MONTHS, start=1)}),
    _Field(marked("day of the week"), 0, 7, {name: n for n, name in enumerate(WEEKDAYS)}),
)
_WRONG = marked("The field for the {name} cannot be {part}: it takes {first} to {last}, `*`, `a-b`, `a,b` and `/step`.")
_WRONG_NAMED = marked(
    "The field for the {name} cannot be {part}: it takes {first} to {last}, names as {example}, `*`, `a-b`, `a,b` and"
    " `/step`."
)
_WRONG_DAY = marked(
    "The field for the {name} cannot be {part}: it takes {first} to {last}, `last`, `2nd fri`, `*`, `a-b`, `a,b` and"
    " `/step`."
)


@dataclass(frozen=True, slots=True)
class Cron:
    """`days` are numbers; `rules` are `last`, `2nd fri` and the like. `weekdays` count from Sunday, 0. `either`: both
    day fields are set, and one of them suffices."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    rules: tuple[str, ...]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool


def read_cron(text: str) -> Cron:
    """Raises ValueError with a message that names the field. Takes time in proportion to the length, which is at most
    `MAX_CRON`. Refuses days that none of the months has; that a rule for the day and a weekday never meet, as in
    `0 0 2nd fri * */7`, is found by whoever searches for the next due time.
    """
    if len(text) > MAX_CRON:
        raise ValueError(message("{field} must have at most {limit} characters", field="`cron`", limit=MAX_CRON))
    written = _RULE_OF_DAY.sub(r"\1_\2", text.lower()).split()
    if len(written) != len(_FIELDS):
        raise ValueError(
            message(
                "A cron expression has five fields: minute, hour, day of the month, month, day of the week;"
                " this one has {count}.",
                count=len(written),
            )
        )
    minutes, hours, days, months, weekdays = (
        frozenset(_numbers(field, part)) for field, part in zip(_FIELDS, written, strict=True)
    )
    rules = tuple(part.replace("_", " ") for part in dict.fromkeys(written[2].split(",")) if _is_rule(part))
    both = not written[2].startswith("*") and not written[4].startswith("*")
    found = Cron(minutes, hours, days, rules, months, frozenset(day % 7 for day in weekdays), both)
    if not rules and not both and min(days) > max(_LONGEST_MONTHS[month - 1] for month in months):
        raise ValueError(message("This cron expression is never due: none of its months has that day."))
    return found


def _is_rule(part: str) -> bool:
    return part.partition("_")[0] in ORDINALS and (part == LAST or "_" in part)


def _numbers(field: _Field, written: str) -> Iterator[int]:
    for part in written.split(","):
        if field.has_rules and _is_rule(part):
            continue
        match = _PART.fullmatch(part)
        if match is None:
            raise _wrong(field, part)
        star, first, last, step = match.groups()
        low = field.first if star else _number(field, first, part)
        high = field.last if star or (step and not last) else _number(field, last, part) if last else low
        if last == "sun" and low > 0:
            high = 7  # fri-sun; but sun-sun is Sunday
        if low > high:
            raise _wrong(field, part)
        yield from range(low, high + 1, int(step or 1))


def _number(field: _Field, written: str, part: str) -> int:
    found = int(written) if written.isdigit() else field.names.get(written, -1)
    if not field.first <= found <= field.last:
        raise _wrong(field, part)
    return found


def _wrong(field: _Field, part: str) -> ValueError:
    told = _WRONG_DAY if field.has_rules else _WRONG_NAMED if field.names else _WRONG
    return ValueError(
        message(
            told,
            name=message(field.name),
            part=repr(part.replace("_", " ")[:40]),
            first=field.first,
            last=field.last,
            example=", ".join([*field.names][:2]),
        )
    )
