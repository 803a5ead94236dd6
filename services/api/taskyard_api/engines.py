"""The API's engines: its connections to PostgreSQL, and how long they wait."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from sqlalchemy import Engine

from taskyard.settings import Settings
from taskyard.store.ledger import Plans, engine_of

from .collector import MAX_FLIGHTS
from .patience import LONGEST_STATEMENT

# While the database is away, callers get a 503 soon instead of waiting.
_PATIENCE = timedelta(seconds=2)


def engines_of(settings: Settings) -> tuple[Engine, Engine]:
    """The engine of plain submits, and that of everything else. Plain submits keep their plans: planning was a third of
    what a submit costs PostgreSQL."""
    make = partial(
        engine_of,
        settings,
        "taskyard-api",
        statement_timeout=min(settings.db_statement_timeout, LONGEST_STATEMENT),
        connect_timeout=_PATIENCE,
        pool_timeout=_PATIENCE,
    )
    submits = make(serves=["plain submits"] * MAX_FLIGHTS, plans=Plans.KEPT)
    readers = ["a thread of the ledger pool"] * settings.db_pool_size
    return submits, make(serves=[*readers, *["keyed submits"] * MAX_FLIGHTS, "dispatcher", "probes", "parts of health"])
