"""Limits of queues and keys."""

from __future__ import annotations

from sqlalchemy import Connection

from .committed import Committed


def changed(conn: Connection, queue: str) -> Committed[None]:
    """What waits in the queue is looked at anew: its limit was changed, or it was resumed."""
    return Committed(None)
