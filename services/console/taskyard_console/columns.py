"""The columns of the list of tasks: which there are, and which are shown where the reader has chosen none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babel.support import NullTranslations


def _(text: str) -> str:
    """Marks what the templates translate."""
    return text


COLUMNS = {
    "state": _("State"),
    "name": _("Task type"),
    "id": _("Task"),
    "queue": _("Queue"),
    "attempt": _("Attempt"),
    "created": _("Submitted"),
    "started": _("Started"),
    "finished": _("Ended"),
    "run_time": _("Run time"),
    "says": _("What it says"),
    "waits_for": _("Runs from"),
    "worker": _("Worker"),
    "tags": _("Tags"),
    "by": _("Submitted by"),
    "params": _("Parameters"),
}
STANDARD = ("state", "name", "id", "queue", "attempt", "created", "run_time", "says")
FIGURES = frozenset({"attempt", "run_time"})


def shown(chosen: Sequence[str], words: NullTranslations) -> tuple[tuple[str, str, bool], ...]:
    """Of each column its name, its title, and whether it is of figures."""
    return tuple((name, words.gettext(COLUMNS[name]), name in FIGURES) for name in chosen or STANDARD)


def chosen(given: Sequence[str]) -> list[str]:
    """In the order of the table; empty where they are the standard ones, which no address has to name."""
    found = [name for name in COLUMNS if name in given]
    return [] if found == list(STANDARD) else found
