"""Times, durations and numbers as the reader's language and zone have them (CLDR)."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale
from babel.dates import format_datetime, format_skeleton, format_time, format_timedelta
from babel.numbers import format_decimal, format_percent, get_decimal_symbol, get_group_symbol, parse_decimal
from babel.units import format_unit
from markupsafe import Markup, escape

UTC_ZONE = ZoneInfo("UTC")
_LONGEST_ZONE = 64
_LONGEST_NUMBER = 20
# As the API writes them into its sentences.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_SECONDS = re.compile(r"\d{3,9} s")
_FIGURES = re.compile(rf"({_INSTANT.pattern}|\b{_SECONDS.pattern}\b)")
_MOMENT = timedelta(seconds=1)
# That group digits, whichever the reader's keyboard has.
_SPACES = re.compile(r"(?<=\d)[ \u00a0\u202f](?=\d{3}(?!\d))")
# A fraction whatever the language: groups have three digits, and none begins with a zero.
_FRACTION = re.compile(r"\d*[.,](\d{1,2}|\d{4,})|0[.,]\d+")
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))
# A duration is told in two neighbouring units, the larger one at least once.
_PAIRS = tuple(zip(_UNITS, (*_UNITS[1:], ("second", 1)), strict=True))


def zone_of(name: str | None) -> ZoneInfo | None:
    if not name or len(name) > _LONGEST_ZONE:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def moment_of(value: str | datetime | None) -> datetime | None:
    """A time of the API's."""
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(value)


def moment_from(text: str, zone: ZoneInfo) -> datetime | None:
    """A time that a reader typed, in the reader's zone unless it says another. Raises ValueError."""
    if not text.strip():
        return None
    typed = datetime.fromisoformat(text.strip())
    try:
        return (typed if typed.tzinfo else typed.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError as e:
        raise ValueError("UTC has no such time") from e


def number_from(text: str, language: str) -> float:
    """A number that a reader typed. Where a mark may group digits or begin a fraction, the language decides: 1,000 is a
    thousand in English, and one in German. Raises ValueError."""
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(text)
    plain = _SPACES.sub("", text.strip())
    if _FRACTION.fullmatch(plain):
        found = float(plain.replace(",", "."))
    else:
        found = float(parse_decimal(plain, locale=language, strict=True))
    if not math.isfinite(found):
        raise ValueError(text)
    return found


def number_text(value: float, language: str) -> str:
    """As `number_from` reads it."""
    return str(format_decimal(value, locale=language, decimal_quantization=False, group_separator=False))


def _seconds(duration: float | timedelta) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def _rounded(seconds: float, unit: int) -> int:
    """To multiples of `unit`."""
    return round(seconds / unit) * unit


_locale = cache(Locale.parse)


# A live page shows most of its times and figures again, a chart's table those of the one beside it. They are kept by
# the names of their languages: Babel's locales are compared in Python, which takes longer than to look a text up.
@lru_cache(10_000)
def _decimal(value: float, digits: str | None, language: str) -> str:
    return str(format_decimal(value, digits, locale=_locale(language)))


@lru_cache(10_000)
def _percent(share: float, language: str) -> str:
    return str(format_percent(share, "#,##0.#%", locale=_locale(language)))


@lru_cache(10_000)
def _medium(at: datetime, zone: ZoneInfo, language: str) -> str:
    return str(format_datetime(at, "medium", tzinfo=zone, locale=_locale(language)))


@lru_cache(10_000)
def _short(at: datetime, zone: ZoneInfo, language: str) -> str:
    return str(format_time(at, "short", tzinfo=zone, locale=_locale(language)))


@lru_cache(10_000)
def _day(at: datetime, zone: ZoneInfo, language: str) -> str:
    return str(format_skeleton("MMMd", at, tzinfo=zone, locale=_locale(language)))


@lru_cache(10_000)
def _away(seconds: int, form: Literal["long", "short"], language: str) -> str:
    delta = timedelta(seconds=seconds)
    return str(format_timedelta(delta, threshold=1.5, add_direction=True, format=form, locale=_locale(language)))


@lru_cache(10_000)
def _unit(number: float, unit: str, length: Literal["long", "short"], language: str) -> str:
    return str(format_unit(number, f"duration-{unit}", length=length, locale=_locale(language)))


@cache
def _marks(language: str) -> dict[int, str]:
    """What stands between thousands and before fractions, by what Python has there."""
    return str.maketrans({",": get_group_symbol(language), ".": get_decimal_symbol(language)})


class Formats:
    """The filters of the templates, for one language."""

    def __init__(self, language: str) -> None:
        # English as most of its readers in the world have it: days before months, 24 hours.
        self._language = "en_GB" if language == "en" else language
        self._marks = _marks(self._language)

    def filters(self) -> dict[str, Any]:
        return {
            "exact": self.exact,
            "moment": self.moment,
            "clock": self.clock,
            "told": self.told,
            "duration": self.duration,
            "seconds": self.seconds,
            "interval": self.interval,
            "ago": self.ago,
            "ahead": self.ahead,
            "number": self.number,
            "percent": self.percent,
            "bytes": self.bytes,
            "instant": moment_of,
        }

    def moment(self, value: str | datetime, zone: ZoneInfo) -> str:
        at = moment_of(value)
        assert at is not None
        return _medium(at.replace(microsecond=0), zone, self._language)

    def told(self, text: str, zone: ZoneInfo) -> Markup:
        """A sentence of the API's, with its times in the reader's zone and long durations readable."""
        parts = []
        for part in _FIGURES.split(text):
            if _INSTANT.fullmatch(part):
                parts.append(self._told_time(part, zone))
            elif _SECONDS.fullmatch(part):
                parts.append(Markup('<span title="{}">{}</span>').format(part, self.duration(float(part[:-2]))))
            else:
                parts.append(escape(part))
        return Markup("").join(parts)

    def _told_time(self, text: str, zone: ZoneInfo) -> Markup:
        try:
            title, shown = self.exact(text, zone), self.moment(text, zone)
        except (ValueError, OverflowError):  # it only looks like a time, in a name that somebody chose
            return escape(text)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(text, title, shown)

    def clock(self, value: str | datetime, zone: ZoneInfo) -> str:
        """Of a log's line: the day stands elsewhere on the page."""
        at = moment_of(value)
        assert at is not None
        return at.astimezone(zone).time().isoformat("milliseconds")

    def minute(self, at: datetime, zone: ZoneInfo) -> str:
        """Of an axis: 18:15."""
        return _short(at, zone, self._language)

    def day(self, at: datetime, zone: ZoneInfo) -> str:
        """Of an axis: 4 Apr."""
        return _day(at, zone, self._language)

    def exact(self, value: str | datetime, zone: ZoneInfo) -> str:
        """With fractions and the zone's name."""
        at = moment_of(value)
        assert at is not None
        local = at.astimezone(zone)
        return f"{local.isoformat(sep=' ', timespec='milliseconds')} {zone.key}"

    def duration(self, seconds: float | timedelta) -> str:
        """0.12 s, 4.5 s, 1 min 31 s, 2 hrs 30 mins: off by a fiftieth at most."""
        lasts = _seconds(seconds)
        if lasts < 0:
            return f"-{self.duration(-lasts)}"
        if round(lasts, 1) < 60:
            return f"{self._measured(lasts, 3 if lasts < 0.1 else 2 if lasts < 1 else 1)} s"
        # Rounded to the smaller unit first: 3,599.7 s are an hour, not 59 minutes and 60 seconds.
        large, small = next(pair for pair in _PAIRS if _rounded(lasts, pair[1][1]) >= pair[0][1])
        whole, rest = divmod(_rounded(lasts, small[1]), large[1])
        parts = [(whole, large[0]), (rest // small[1], small[0])]
        return " ".join(self._unit(number, unit) for number, unit in parts if number)

    def _unit(self, number: int, unit: str) -> str:
        if unit == "second":
            return f"{number} s"
        return _unit(number, unit, "short", self._language)

    def seconds(self, seconds: float | timedelta) -> str:
        """As exactly as it is known: 8,999.25 s."""
        return f"{self._measured(_seconds(seconds), 3, is_short=True)} s"

    def _measured(self, value: float, digits: int, *, is_short: bool = False) -> str:
        """As Babel has it. No two measured times are the same, so keeping them would help little. `is_short`: without
        the zeros at the end."""
        text = f"{value:,.{digits}f}"
        return (text.rstrip("0").rstrip(".") if is_short else text).translate(self._marks)

    def interval(self, seconds: float) -> str:
        """Exactly: 90 seconds, 15 minutes, 36 hours."""
        unit, size = next(((unit, size) for unit, size in _UNITS if seconds % size == 0), ("second", 1))
        return _unit(seconds / size, unit, "long", self._language)

    def ago(self, past: timedelta) -> str:
        """3 minutes ago: in some languages, being in the past changes the word for minutes."""
        return self._away(-max(past, _MOMENT))

    def ahead(self, left: timedelta) -> str:
        return self._away(max(left, _MOMENT))

    def _away(self, delta: timedelta) -> str:
        # CLDR's short forms lack the future in French, and in Hungarian say each unit in another way.
        # To whole seconds, as Babel does.
        form: Literal["long", "short"] = "long" if self._language in {"fr", "hu"} else "short"
        return _away(delta // _MOMENT, form, self._language)

    def number(self, value: float, digits: str | None = None) -> str:
        """`digits`: a pattern of CLDR's, where it is not the usual one."""
        return _decimal(value, digits, self._language)

    def percent(self, share: float) -> str:
        """`share`: 0 to 1."""
        return _percent(share, self._language)

    def bytes(self, value: float) -> str:
        size, unit = float(value), "B"
        for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
            if size < 1024 or unit == "TiB":
                break
            size /= 1024
        return f"{_decimal(round(size, 1), None, self._language)} {unit}"
