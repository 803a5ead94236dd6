"""retry: a failed or cancelled task gets another run, with fresh budgets; its history is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection

from ..domain.tasks import Event
from . import committed
from .committed import Committed
from .composer import Verb, along
from .consequences import compose

_RETRY = compose(
    Verb(
        name="retry",
        edges=along(Event.RETRY),
        where="t.id = ANY(:ids)",
        locks={"note": "jsonb_build_object('by', CAST(:actor AS text))"},
        sets={
            "run_at": "now()",
            "expires_at": "CASE WHEN t.expires_at <= now() THEN now() + CAST(:life AS interval) ELSE t.expires_at END",
        },
    )
)


def retry(conn: Connection, ids: Sequence[UUID], *, life: timedelta, actor: str | None = None) -> Committed[None]:
    """Failed and cancelled tasks are queued again; others do not move. An `expires_at` that has passed is moved to
    `life` from now.
    """
    return committed.of_rows(conn.execute(_RETRY, {"ids": list(ids), "life": life, "actor": actor}).all(), None)
