"""A database of its own for each test, at the price of emptying a few tables."""

from dataclasses import dataclass, field

import psycopg
from psycopg import sql

_TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY c.relname
"""

# How many sessions of this database wait for a lock: PostgreSQL's view shows those of all databases.
WAITING_FOR_A_LOCK = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@dataclass
class CleanDatabase:
    """Brings a migrated database back to how the migrations left it, rows they inserted included."""

    dsn: str
    tables: list[str] = field(default_factory=list)
    rows: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def fresh(cls, dsn: str) -> "CleanDatabase":
        """Remember what a database holds that nobody has used yet."""
        database = cls(dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            database.tables = [name for (name,) in connection.execute(_TABLES).fetchall()]
            for table in database._filled(connection):
                statement = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(table))
                with connection.cursor() as cursor, cursor.copy(statement) as copy:
                    database.rows[table] = b"".join(bytes(part) for part in copy)
        return database

    def restore(self) -> None:
        """Empty what tests filled and put back what the migrations had inserted."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '2s'")
            # What a test needs before it starts need not survive a crash.
            connection.execute("SET synchronous_commit = off")
            try:
                self._restore(connection)
            except psycopg.errors.LockNotAvailable:
                # A transaction that an earlier test left open.
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                self._restore(connection)

    def _restore(self, connection: psycopg.Connection) -> None:
        dirty = sorted({*self._filled(connection), *self.rows})
        if not dirty:
            return
        with connection.transaction():
            names = sql.SQL(", ").join(map(sql.Identifier, dirty))
            # The audit log refuses to be emptied; triggers rest while changes are applied as a replica's.
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))
            for table, rows in self.rows.items():
                statement = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(sql.Identifier(table))
                with connection.cursor() as cursor, cursor.copy(statement) as copy:
                    copy.write(rows)

    def _filled(self, connection: psycopg.Connection) -> list[str]:
        if not self.tables:
            return []
        parts = [
            sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(sql.Literal(name), sql.Identifier(name))
            for name in self.tables
        ]
        return [name for (name,) in connection.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()]
