"""Ids in paths."""

from __future__ import annotations

from uuid import UUID

from taskyard.domain.errors import NotFound


def id_in_path(text: str, missing: str) -> UUID:
    """Raises NotFound with the text `missing` where this is not an id."""
    try:
        if len(text) == 36:  # UUID() also reads braces, URNs and ids without hyphens
            return UUID(text)
    except ValueError:
        pass
    raise NotFound(missing)
