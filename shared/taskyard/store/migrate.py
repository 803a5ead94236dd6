"""Migrations to the newest schema (Alembic)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from .sqlstates import NO_LOCK_IN_TIME, sqlstate

if TYPE_CHECKING:  # services ask for the revision only
    from alembic.config import Config

log = structlog.stdlib.get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
# An arbitrary constant: two containers that start together must not migrate at the same time.
LOCK = 0x7A5C_4A2D
# Everybody who uses a table queues behind a statement that waits to change it. So such a statement gives up soon and
# is tried again: an application's transaction may have used the table for minutes.
_LOCK_TIMEOUT_MS = 3000
_PAUSE_SECONDS = 1.0


def config(database_url: str) -> Config:
    """Alembic's configuration for that database, for `alembic` commands in code."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    made.attributes["database_url"] = database_url
    return made


def upgrade(database_url: str) -> str:
    """Upgrades to the newest revision and returns that of the database. It may be repeated, also after it was cut off,
    and run concurrently. The schema of a later release is left alone: the release before runs on it.

    Each revision is a transaction of its own; one that changes many rows commits in between.
    """
    engine = sa.create_engine(
        database_url, connect_args={"connect_timeout": 5, "options": f"-c lock_timeout={_LOCK_TIMEOUT_MS}"}
    )
    try:
        # The lock has its own connection, whose transaction stays open and empty while the other one commits.
        with engine.begin() as turn, engine.connect() as conn:
            turn.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            turn.execute(sa.text("SET LOCAL lock_timeout = 0"))
            turn.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            at = current(conn)
            conn.rollback()  # the reading began a transaction, and Alembic begins its own
            if at is None or is_known(at):
                made = config(database_url)
                made.attributes["connection"] = conn
                _upgrade(conn, made)
                at = head()
    finally:
        engine.dispose()
    return at


def _upgrade(conn: sa.Connection, made: Config) -> None:
    """Goes on at the revision that found no lock in time."""
    from alembic import command

    while True:
        try:
            command.upgrade(made, "head")
        except DBAPIError as e:
            if sqlstate(e) != NO_LOCK_IN_TIME:
                raise
            conn.rollback()
            log.warning("migration_waits", error=str(e.orig).splitlines()[0])
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def is_known(revision: str) -> bool:
    """Whether this release knows the revision; an unknown one is of a later release."""
    return revision in _revisions()


def is_usable(conn: sa.Connection) -> bool:
    """Whether this release can use the database: its revision is the newest one known, or of a later release."""
    at = current(conn)
    return at is not None and (at == head() or not is_known(at))


def head() -> str:
    """The newest revision that this release knows."""
    return max(_revisions())


def _revisions() -> list[str]:
    """One after the other, as their files are named: 0028_waits_of_attempts.py."""
    return [file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py")]


def current(conn: sa.Connection) -> str | None:
    """The revision of the database; None for an empty one."""
    if conn.execute(sa.text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return None
    found: str | None = conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found
