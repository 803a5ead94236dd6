"""The API's engines: its connections to PostgreSQL, and how long they wait."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import NamedTuple

from sqlalchemy import Engine

from taskyard.settings import Settings
from taskyard.store.ledger import Plans, engine_of

from .collector import MAX_FLIGHTS
from .patience import LONGEST_STATEMENT

# While the database is away, callers get a 503 soon instead of waiting.
_PATIENCE = timedelta(seconds=2)


class Engines(NamedTuple):
    """`submits`: of plain submits, which keep their plans: planning was a third of what a submit costs PostgreSQL.
    `probes`: of readiness alone. In a pool that requests share, they would take the connections that there are, and a
    slow server gives a probe no new one in time. `others`: of everything else."""

    others: Engine
    submits: Engine
    probes: Engine


def engines_of(settings: Settings) -> Engines:
    make = partial(
        engine_of,
        settings,
        "taskyard-api",
        statement_timeout=min(settings.db_statement_timeout, LONGEST_STATEMENT),
        connect_timeout=_PATIENCE,
        pool_timeout=_PATIENCE,
    )
    readers = ["a thread of the ledger pool"] * settings.db_pool_size
    return Engines(
        others=make(serves=[*readers, *["keyed submits"] * MAX_FLIGHTS, "dispatcher", "parts of health"]),
        submits=make(serves=["plain submits"] * MAX_FLIGHTS, plans=Plans.KEPT),
        probes=make(serves=["probes"]),
    )
