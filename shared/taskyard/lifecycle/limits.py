"""Limits of queues and keys."""

from __future__ import annotations

from sqlalchemy import Connection


def changed(conn: Connection, queue: str) -> bool:
    """The limits of this queue were set: whether the scheduler has to look at once."""
    return False
