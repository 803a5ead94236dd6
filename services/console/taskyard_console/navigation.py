"""The navigation: where its entries lead, what each takes, and the key that leads there behind `g`."""

from __future__ import annotations

from typing import NamedTuple

from .access import ADMIN, READ


def _(text: str) -> str:
    """Marks what the templates translate."""
    return text


class Entry(NamedTuple):
    path: str
    title: str
    scope: str
    key: str


ENTRIES: tuple[Entry, ...] = (
    Entry("/", _("Overview"), READ, "o"),
    Entry("/tasks", _("Tasks"), READ, "t"),
    Entry("/task-types", _("Task types"), READ, "y"),
    Entry("/errors", _("Errors"), READ, "e"),
    Entry("/dead-letters", _("Dead letters"), READ, "d"),
    Entry("/operations", _("Operations"), READ, "p"),
    Entry("/queues", _("Queues"), READ, "q"),
    Entry("/workers", _("Workers"), READ, "w"),
    Entry("/schedules", _("Schedules"), READ, "s"),
    Entry("/workflows", _("Workflows"), READ, "f"),
    Entry("/audit", _("Audit"), ADMIN, "a"),
    Entry("/keys", _("Keys"), ADMIN, "k"),
    Entry("/broker", _("Broker"), READ, "b"),
)
