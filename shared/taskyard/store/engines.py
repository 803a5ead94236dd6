"""The engines of a process, made from its settings. Each pool is as large as the list of what it serves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypedDict, Unpack

from sqlalchemy import Engine

from ..settings import Settings
from .ledger import make_engine


class Options(TypedDict, total=False):
    """As `make_engine` takes them."""

    connect_timeout: timedelta
    pool_timeout: timedelta
    plan_anew: bool


def engine_of(
    settings: Settings,
    name: str,
    *,
    serves: Sequence[str],
    statement_timeout: timedelta | None = None,
    **options: Unpack[Options],
) -> Engine:
    """An engine with one connection for each entry of `serves`: a thread, or a place in a pool of threads.

    `name` is what PostgreSQL shows in pg_stat_activity. `statement_timeout`: the one of the settings by default.
    """
    return make_engine(
        settings.database_url.get_secret_value(),
        pool_size=len(serves),
        statement_timeout=statement_timeout or settings.db_statement_timeout,
        application_name=name,
        **options,
    )
