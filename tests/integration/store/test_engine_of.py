"""Pools: each as large as the list of what it serves."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from taskyard.environment import read_settings
from taskyard.store.ledger import engine_of


def test_a_pool_has_one_connection_for_each_entry_that_it_serves(database_url: str) -> None:
    settings = read_settings(database_url=database_url, db_statement_timeout_seconds=7)
    engine = engine_of(settings, "taskyard-test", serves=["reads", "writes"], pool_timeout=timedelta(seconds=0.05))
    with ExitStack() as exits:
        exits.callback(engine.dispose)
        first, _ = (exits.enter_context(engine.connect()) for _ in range(2))
        shown = [
            first.exec_driver_sql(f"SHOW {name}").scalar_one() for name in ("application_name", "statement_timeout")
        ]
        assert shown == ["taskyard-test", "7s"]
        with pytest.raises(PoolTimeout):
            engine.connect()


def test_an_engine_asks_for_its_name_at_each_connection(database_url: str) -> None:
    """So a template can make it before it forks the children that have the names."""
    settings = read_settings(database_url=database_url)
    names = iter(["the first", "the second"])
    engine = engine_of(settings, lambda: next(names), serves=["reads", "writes"])
    with engine.connect() as one, engine.connect() as other:
        shown = [conn.exec_driver_sql("SHOW application_name").scalar_one() for conn in (one, other)]
        assert shown == ["the first", "the second"]
    engine.dispose()
