"""Saved views: named filters of the list of tasks, kept in a cookie of the reader's browser."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MOST = 20
MOST_CHARACTERS = 40
# Browsers keep 4 KiB of a cookie with its name and attributes.
MAX_BYTES = 3_500


class View(NamedTuple):
    title: str
    query: str


class TooMany(ValueError):
    """The browser would not keep so many, or such long ones."""


# Beside what readers save; the titles are translated where they are shown.
def standing(gettext: Any) -> list[tuple[str, dict[str, Any]]]:
    return [
        (gettext("Failed, submitted in the last 24 hours"), {"state": ["failed"], "within": "day"}),
        (gettext("Running longest"), {"order": "running_longest"}),
        (gettext("Waiting longest"), {"order": "waiting_longest"}),
    ]


def read(cookie: str | None) -> list[View]:
    """What the cookie holds; nothing of one that is not ours."""
    if not cookie or len(cookie) > 2 * MAX_BYTES:
        return []
    try:
        found = json.loads(base64.urlsafe_b64decode(cookie))
        return [View(str(title)[:MOST_CHARACTERS], str(query)) for title, query in found][:MOST]
    except (ValueError, TypeError):
        return []


def written(views: Sequence[View]) -> str:
    """Raises TooMany."""
    text = base64.urlsafe_b64encode(json.dumps(views, ensure_ascii=False, separators=(",", ":")).encode()).decode()
    if len(views) > MOST or len(text) > MAX_BYTES:
        raise TooMany
    return text


def with_view(views: Sequence[View], view: View) -> list[View]:
    """One of the same title is replaced."""
    return [*(one for one in views if one.title != view.title), view]


def without(views: Sequence[View], title: str) -> list[View]:
    return [one for one in views if one.title != title]


def plain_query(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a view keeps of an address: no cursor, and nothing that is empty."""
    return {name: value for name, value in asked.items() if value and not (name == "limit" and value == 50)}
