"""The header Retry-After, by which another system asks for patience (RFC 9110, 10.2.3)."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# It may ask for patience, not for silence until a task has expired.
LONGEST_WAIT = timedelta(days=1)


def retry_after(header: str | None, *, now: datetime | None = None) -> timedelta | None:
    """How long it asks to wait, a day at most; None where it does not say."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:10])
    else:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - (now or datetime.now(UTC))).total_seconds()
    return timedelta(seconds=min(max(0.0, math.ceil(seconds)), LONGEST_WAIT.total_seconds()))
