"""What a verb says to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import Connection, Engine


@contextmanager
def statements_of(target: Engine | Connection) -> Iterator[list[str]]:
    """Grows by each statement that is executed on `target`."""
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_others: object) -> None:
        seen.append(statement)

    sa.event.listen(target, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(target, "before_cursor_execute", note)
