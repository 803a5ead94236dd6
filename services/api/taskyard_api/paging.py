"""Cursors: the id of the last item, opaque to callers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from .refusals import Fault, Invalid


def read_cursor(cursor: str | None) -> UUID | None:
    """Raises Invalid."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "==", altchars=b"-_", validate=True)
        return UUID(bytes=raw)
    except (ValueError, binascii.Error):
        raise Invalid([Fault("?cursor", "This is not a cursor of this list.")]) from None


def cursor_at(item_id: UUID) -> str:
    return base64.urlsafe_b64encode(item_id.bytes).decode().rstrip("=")


def next_cursor(rows: Sequence[Mapping[Any, Any]], limit: int) -> str | None:
    """`rows` has one row more than `limit` where there is another page."""
    return cursor_at(rows[limit - 1]["id"]) if len(rows) > limit else None
