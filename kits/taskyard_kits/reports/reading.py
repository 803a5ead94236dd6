"""How the parts of a report read numbers: each in a transaction of its own, which ends with the task's time."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard import TaskContext
from taskyard.store.tree_items import owner_seen

from .languages import Language
from .periods import Period

T = TypeVar("T")

# A statement ends after the soft limit, not before: the platform marks as partial what met the limit.
_BEYOND_SECONDS = 0.5
# By then it ends by itself, as every statement of a task.
_USUAL_SECONDS = 30.0
_TIME = sa.text("SELECT set_config('statement_timeout', :ms, true)")


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
        """Raises SoftTimeLimitExceeded where the time is over before the answer is there."""
        self.context.check_cancelled()
        left = max(0.0, self.context.seconds_left) + _BEYOND_SECONDS
        with self.context.db() as conn:
            if left < _USUAL_SECONDS:
                conn.execute(_TIME, {"ms": f"{math.ceil(left * 1000)}"})
            return what(conn)
