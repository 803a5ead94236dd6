"""Alembic's entry: runs against the connection it is given, or the configured URL."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from taskyard.store.tables import metadata


def run() -> None:
    given = context.config.attributes.get("connection")
    if given is not None:
        _migrate(given)
        return
    engine = sa.create_engine(context.config.attributes["database_url"])
    with engine.connect() as conn:
        _migrate(conn)
    engine.dispose()


def _migrate(conn: sa.Connection) -> None:
    context.configure(
        connection=conn, target_metadata=metadata, compare_server_default=True, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


run()
