"""Cron expressions in words, in the reader's language."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from functools import lru_cache

from babel.dates import get_day_names, get_month_names
from cron_descriptor import ExpressionDescriptor
from cron_descriptor.Exception import FormatError, MissingFieldError, WrongArgumentError

_LOCALES = {"en": "en_GB", "de": "de_DE", "fr": "fr_FR", "hu": "hu_HU"}
# A rule for the day, as Taskyard writes it, where the day of the week is left open.
_RULE = re.compile(r"(\S+ \S+) (last|([1-5])[a-z]{2} ([a-z]{3})|last ([a-z]{3})) (\S+) \*")
_STEP_FROM = re.compile(r"\d/")
_DAYS = re.compile(r"L|[0-9*,/-]+")
_ENGLISH = re.compile(r"\b(?:" + "|".join([*calendar.day_name, *calendar.month_name[1:]]) + r")\b")


@lru_cache(4096)
def cron_words(expression: str, language: str) -> str | None:
    """None for what has no words; the next due times say it then."""
    text = _RULE.sub(_as_quartz, " ".join(expression.lower().split()))
    if not _is_common(text) or not _is_rendered(text, language):
        return None
    locale = "en_US" if language == "en" else _LOCALES[language]
    try:
        said = ExpressionDescriptor(text, locale_code=locale, use_24hour_time_format=True).get_description()
    except (FormatError, MissingFieldError, WrongArgumentError, LookupError, ValueError):
        return None
    names = _names(language)
    return _ENGLISH.sub(lambda found: names[found[0]], said)


def _as_quartz(found: re.Match[str]) -> str:
    """`2nd fri` is `fri#2` there, `last sun` `sunL`, `last` `L`."""
    start, rule, number, day, last_day, month = found.groups()
    if rule == "last":
        return f"{start} L {month} *"
    return f"{start} * {month} {f'{day}#{number}' if number else f'{last_day}L'}"


def _is_common(text: str) -> bool:
    """What the library reads as Taskyard does. Where both day fields are set, it takes either to suffice; Taskyard, as
    cron, does so only where neither begins with `*`."""
    fields = text.split(" ")
    if len(fields) != 5 or not _DAYS.fullmatch(fields[2]):
        return False
    days = (fields[2], fields[4])
    return "*" in days or not any(day.startswith("*") for day in days)


def _is_rendered(text: str, language: str) -> bool:
    """What the library says rightly in this language: none knows steps of days of the week, and German and French leave
    out where a step starts."""
    fields = text.split(" ")
    if "/" in fields[4]:
        return False
    return language not in {"de", "fr"} or not any(_STEP_FROM.search(field) for field in fields)


@lru_cache
def _names(language: str) -> Mapping[str, str]:
    """The library has names of days and months in the language of the process only, which is English."""
    locale = _LOCALES[language]
    days, months = get_day_names("wide", locale=locale), get_month_names("wide", locale=locale)
    return {
        **{name: days[number] for number, name in enumerate(calendar.day_name)},
        **{name: months[number] for number, name in enumerate(calendar.month_name) if number},
    }
