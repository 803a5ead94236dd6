"""How the parts of a report read numbers: each in a transaction of its own, which ends with the task's time."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard import TaskContext
from taskyard.domain.errors import LedgerUnavailable
from taskyard.store.sqlstates import STATEMENT_CANCELLED, sqlstate
from taskyard.store.tree_items import owner_seen

from .languages import Language
from .periods import Period

T = TypeVar("T")

# A statement ends after the soft limit, not before: the platform marks as partial what met the limit.
_BEYOND_SECONDS = 0.5
_LONGEST_SECONDS = 86_400.0
# The time that the worker gives to every statement stays the longest; 0 there means that there is none.
_TIME = sa.text("""
SELECT set_config('statement_timeout', least(CAST(:ms AS int), nullif(CAST(setting AS int), 0))::text, true)
FROM pg_settings WHERE name = 'statement_timeout'
""")


class TooSlow(Exception):
    """PostgreSQL was not ready with the numbers of a part in the time that a statement may take."""


@dataclass(frozen=True, slots=True)
class Source:
    """The numbers of a period, as the key that submitted the task may see them."""

    context: TaskContext
    period: Period
    language: Language

    @property
    def queues(self) -> Collection[str] | None:
        return self.context.allowed_queues

    @property
    def owner(self) -> str | None:
        return owner_seen(self.context.submitted_by, self.context.allowed_queues)

    def read(self, what: Callable[[Connection], T]) -> T:
        """Raises SoftTimeLimitExceeded where the time is over before the answer is there, TooSlow where a statement
        took longer than one may."""
        self.context.check_cancelled()
        left = min(max(0.0, self.context.seconds_left) + _BEYOND_SECONDS, _LONGEST_SECONDS)
        try:
            with self.context.db() as conn:
                conn.execute(_TIME, {"ms": math.ceil(left * 1000)})
                return what(conn)
        except LedgerUnavailable as e:
            if sqlstate(e.__cause__) == STATEMENT_CANCELLED:
                raise TooSlow from e
            raise
