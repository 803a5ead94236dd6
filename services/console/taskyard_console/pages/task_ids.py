"""The id of a task in an address."""

from __future__ import annotations

from uuid import UUID

import falcon


def task_id_of(text: str) -> UUID:
    """Raises HTTPNotFound for what is no id."""
    try:
        return UUID(text)
    except ValueError:
        raise falcon.HTTPNotFound from None
