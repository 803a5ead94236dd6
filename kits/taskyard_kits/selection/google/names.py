"""The names of the tabs that runs make: those of sortition-algorithms (`GSheetTabNamer` in its adapters)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count

SELECTED = "Original Selected - output - "
REMAINING = "Remaining - output - "
# The library takes every title with one of its beginnings for its own. People begin titles with them, too, so here a
# number has to follow, and nothing else.
_OUTPUT = re.compile(f"(?:{re.escape(SELECTED)}|{re.escape(REMAINING)})[0-9]{{1,4}}")
_ARCHIVED = "Archived - "
_ARCHIVED_OUTPUT = re.compile(f"{_ARCHIVED}{_OUTPUT.pattern}(?: \\([0-9]{{1,4}}\\))?")


def is_output(title: str) -> bool:
    return _OUTPUT.fullmatch(title) is not None


def is_archived(title: str) -> bool:
    return _ARCHIVED_OUTPUT.fullmatch(title) is not None


def free(beginnings: Iterable[str], titles: Iterable[str]) -> list[str]:
    """Titles with these beginnings and the first number that none of them has."""
    taken, beginnings = _folded(titles), list(beginnings)
    numbered = ([f"{beginning}{number}" for beginning in beginnings] for number in count())
    return next(new for new in numbered if taken.isdisjoint(_folded(new)))


def archived(title: str, titles: Iterable[str]) -> str:
    """The title in the archive: another tab of the same name may be there already."""
    taken = _folded(titles)
    first = f"{_ARCHIVED}{title}"
    names = (first if number == 1 else f"{first} ({number})" for number in count(1))
    return next(name for name in names if name.casefold() not in taken)


def _folded(titles: Iterable[str]) -> set[str]:
    """Google takes titles that differ in case only for the same."""
    return {title.casefold() for title in titles}
