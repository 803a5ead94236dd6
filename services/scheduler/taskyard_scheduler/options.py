"""Values of options, as several commands read them."""

from __future__ import annotations

import typer


def text(value: str | None) -> str | None:
    """Raises typer.BadParameter."""
    if value is not None and not (1 <= len(value) <= 200 and value.isprintable()):
        raise typer.BadParameter("must be 1 to 200 printable characters")
    return value
