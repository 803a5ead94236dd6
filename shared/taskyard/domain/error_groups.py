"""Groups of failures that are alike: of one type and queue, with one code, from one place of the task's code."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple
from uuid import NAMESPACE_OID, UUID, uuid5

# Bounds of what is kept. What goes beyond them is counted in the group of the type whose code, or place, is OTHER.
MOST_GROUPS = 5_000
MOST_CODES = 50  # of a type and queue
MOST_PLACES = 100  # of a code
OTHER = "_other"
TASKS_SHOWN = 20  # of a group, the newest that failed so


class GroupState(StrEnum):
    OPEN = "open"
    SOLVED = "solved"
    RETURNED = "returned"  # it was solved, and came back


class Group(NamedTuple):
    queue: str
    name: str
    code: str
    place: str

    @property
    def id(self) -> UUID:
        """The same for the same group, whenever it is seen."""
        return uuid5(NAMESPACE_OID, "\n".join(self))


class Groups:
    """The groups of some types, and into which of them, or of new ones, failures go. `others`: how many groups there
    are beside these."""

    def __init__(self, known: set[Group], others: int = 0) -> None:
        self._known = known
        self._others = others
        self._places: dict[tuple[str, str], dict[str, int]] = {}
        for group in known:
            self._note(group)

    def of(self, wanted: Group) -> Group:
        if wanted in self._known:
            return wanted
        codes = self._places.get((wanted.queue, wanted.name), {})
        if len(self._known) + self._others >= MOST_GROUPS or (wanted.code not in codes and len(codes) >= MOST_CODES):
            found = wanted._replace(code=OTHER, place="")
        elif codes.get(wanted.code, 0) >= MOST_PLACES:
            found = wanted._replace(place=OTHER)
        else:
            found = wanted
        if found not in self._known:
            self._known.add(found)
            self._note(found)
        return found

    def _note(self, group: Group) -> None:
        codes = self._places.setdefault((group.queue, group.name), {})
        codes[group.code] = codes.get(group.code, 0) + 1
