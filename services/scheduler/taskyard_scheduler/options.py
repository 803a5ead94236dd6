"""Values of options, as several commands read them."""

from __future__ import annotations

from datetime import datetime

import typer


def text(value: str | None) -> str | None:
    """Raises typer.BadParameter."""
    if value is not None and not (1 <= len(value) <= 200 and value.isprintable()):
        raise typer.BadParameter("must be 1 to 200 printable characters")
    return value


def moment(value: str) -> datetime:
    """Raises typer.BadParameter."""
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None or not 1970 <= read.year < 9000:
        raise typer.BadParameter("must be a time with its offset: 2026-01-31T12:00:00Z")
    return read
