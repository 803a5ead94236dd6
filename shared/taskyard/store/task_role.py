"""What the role of `context.db()` must not have: any right over the ledger.

PostgreSQL's own privileges keep tasks out of the ledger. They are checked on every new connection, because an address
is soon copied from the wrong line.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from ..domain.errors import TaskError
from .tables import LEDGER_TABLES

# One of the rights by which the role could touch the ledger: its own, or those of a role that it can become. A schema
# is the ledger's where it holds all of the ledger's tables; a kit's own schema may have a table `task`, too.
_RIGHT = """
WITH wanted AS (
    SELECT coalesce(%(role)s, session_user::text) AS wanted_role
), named AS (
    SELECT oid, relname, relowner, relnamespace FROM pg_class WHERE relkind IN ('r', 'p') AND relname = ANY(%(tables)s)
), home AS (
    SELECT n.oid, nspname, nspowner FROM pg_namespace n
    WHERE (SELECT count(*) FROM named WHERE relnamespace = n.oid) = cardinality(%(tables)s::text[])
), ledger AS (
    SELECT named.* FROM named JOIN home ON home.oid = relnamespace
), role AS (
    SELECT r.* FROM pg_roles r, wanted WHERE pg_has_role(wanted_role, r.oid, 'MEMBER')
)
SELECT wanted_role, held FROM wanted, (
    SELECT 'SUPERUSER' AS held FROM role WHERE rolsuper
    UNION ALL SELECT 'CREATEROLE' FROM role WHERE rolcreaterole
    UNION ALL SELECT 'REPLICATION' FROM role WHERE rolreplication
    UNION ALL SELECT rolname FROM role
        WHERE rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
    UNION ALL SELECT 'OWNER OF ' || relname FROM ledger JOIN role ON role.oid = relowner
    UNION ALL SELECT 'OWNER OF SCHEMA ' || nspname FROM home JOIN role ON role.oid = nspowner
    -- A function made there may be called by the ledger's statements, with the ledger's rights.
    UNION ALL SELECT 'CREATE ON SCHEMA ' || nspname FROM home, role
        WHERE has_schema_privilege(role.oid, home.oid, 'CREATE')
    UNION ALL SELECT kind || ' ON ' || relname
        FROM ledger, role, unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) kind
        WHERE has_any_column_privilege(role.oid, ledger.oid, kind)
    UNION ALL SELECT kind || ' ON ' || relname FROM ledger, role, unnest('{DELETE,TRUNCATE,TRIGGER}'::text[]) kind
        WHERE has_table_privilege(role.oid, ledger.oid, kind)
) rights LIMIT 1
"""


def refuse_powerful(engine: Engine) -> None:
    """Makes every new connection of the engine raise TaskError `task_role_too_powerful` where its role could touch the
    ledger. It is the role of the session that counts: RESET ROLE leads back to it."""

    @sa.event.listens_for(engine, "connect")
    def check(connection: Any, record: object) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(_RIGHT, _of(None))
            found = cursor.fetchone()
        if found is not None:
            connection.close()
            role, right = found
            raise TaskError("task_role_too_powerful", retryable=False, role=role, right=right)


def right_over_ledger(conn: Connection, role: str) -> str | None:
    """A right by which the role could touch the ledger's tables, as SQL names it."""
    found = conn.exec_driver_sql(_RIGHT, _of(role)).first()
    return None if found is None else str(found.held)


def _of(role: str | None) -> dict[str, Any]:
    return {"role": role, "tables": list(LEDGER_TABLES)}
