"""What was published before its queue had a limit: the leader walks over it, and has it wait for the limit.

Workers would meet it message by message, and what is granted meanwhile would wait behind all of it.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection

from . import limit_sql as sql

# What one turn looks at, and has wait, in all queues together. What it grants waits for its end.
_LOOKED_AT, _HELD_BACK = 2000, 250
_LOWEST = UUID(int=0)


class Backlog:
    """In memory: a leader that takes over walks once over all that waits in queues with a limit."""

    def __init__(self) -> None:
        # Behind which task the walk of a queue goes on; None: it is over.
        self._after: dict[str, UUID | None] = {}

    def walk(self, queues: Collection[str]) -> None:
        """Their limits were set or removed."""
        self._after |= dict.fromkeys(queues, _LOWEST)

    def doubt(self) -> None:
        """The last walk was undone: all are walked again."""
        self.walk(list(self._after))

    @property
    def unfinished(self) -> list[str]:
        return [queue for queue, after in self._after.items() if after is not None]

    def published(self, conn: Connection, limited: Collection[str]) -> list[UUID]:
        """The next tasks that have been published, of these queues: the ones with a limit."""
        for queue in set(self.unfinished).difference(limited):
            self._after[queue] = None
        walking = self.unfinished
        if not walking:
            return []
        page, most = (max(1, total // len(walking)) for total in (_LOOKED_AT, _HELD_BACK))
        values = {"queues": walking, "afters": [self._after[queue] for queue in walking], "page": page}
        rows = conn.execute(sql.QUEUED, values).all()
        found: list[UUID] = []
        for queue in walking:
            looked = [row for row in rows if row.queue == queue]
            published = [row.id for row in looked if row.limited is None][:most]
            if len(published) == most:
                self._after[queue] = published[-1]
            else:
                self._after[queue] = looked[-1].id if len(looked) == page else None
            found += published
        return found
