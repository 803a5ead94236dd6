"""Roles of PostgreSQL that may submit tasks in their own transactions, by the functions of the schema `taskyard_sql`.

PostgreSQL checks EXECUTE; the function looks up the queues here. A role that is dropped and made again has neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection, RowMapping

from ..domain.errors import Refused
from ..domain.messages import verbatim
from . import audit
from .audit import Action, Actor

SCHEMA = "taskyard_sql"
CHANNEL = "taskyard_submits"
SUBMIT = f"{SCHEMA}.submit(text, json, json)"
_VIEWS = ("task_type", "caller", "queue")

_EXISTS = sa.text("SELECT FROM pg_roles WHERE rolname = :role")
_WRITE = sa.text("""
INSERT INTO submit_role (role, queues, life_seconds) VALUES (:role, :queues, :life_seconds)
ON CONFLICT (role) DO UPDATE SET queues = excluded.queues, life_seconds = excluded.life_seconds
""")
_DELETE = sa.text("DELETE FROM submit_role WHERE role = :role")
# A right that PostgreSQL does not know any more: the role was dropped, perhaps made again.
_LIST = sa.text("""
SELECT s.role, s.queues, s.life_seconds, s.created_at,
    coalesce(has_function_privilege(r.oid, CAST(CAST(:submit AS regprocedure) AS oid), 'EXECUTE'), false) AS is_granted
FROM submit_role s LEFT JOIN pg_roles r ON r.rolname = s.role ORDER BY s.role
""")


class NoSuchRole(Refused):
    code = "no_such_role"

    def __init__(self, role: str) -> None:
        super().__init__(verbatim(f"PostgreSQL has no role {role[:100]!r}."))


def grant(conn: Connection, role: str, queues: Sequence[str] | None, by: Actor, *, life: timedelta) -> None:
    """Lets the role, and its members, submit to these queues (None: all); what it had before is replaced. `life` is for
    submits without an expiry. Call it in a transaction, as the owner of the tables.

    Raises NoSuchRole."""
    if conn.execute(_EXISTS, {"role": role}).first() is None:
        raise NoSuchRole(role)
    to = _identifier(role)
    _run(conn, f"GRANT USAGE ON SCHEMA {SCHEMA} TO {to}")
    _run(conn, f"GRANT EXECUTE ON FUNCTION {SUBMIT} TO {to}")
    for view in _VIEWS:
        _run(conn, f"GRANT SELECT ON {SCHEMA}.{view} TO {to}")
    given = None if queues is None else sorted(set(queues))
    conn.execute(_WRITE, {"role": role, "queues": given, "life_seconds": life.total_seconds()})
    audit.record(conn, by, Action.ROLE_GRANT, role, queues=given)


def revoke(conn: Connection, role: str, by: Actor) -> bool:
    """False where the role was not granted. Submits under way in open transactions still commit."""
    if not conn.execute(_DELETE, {"role": role}).rowcount:
        return False
    if conn.execute(_EXISTS, {"role": role}).first() is not None:
        of = _identifier(role)
        _run(conn, f"REVOKE ALL ON FUNCTION {SUBMIT} FROM {of}")
        for view in _VIEWS:
            _run(conn, f"REVOKE ALL ON {SCHEMA}.{view} FROM {of}")
        _run(conn, f"REVOKE ALL ON SCHEMA {SCHEMA} FROM {of}")
    audit.record(conn, by, Action.ROLE_REVOKE, role)
    return True


def listed(conn: Connection) -> Sequence[RowMapping]:
    """`is_granted` is false where the role was dropped since."""
    return conn.execute(_LIST, {"submit": SUBMIT}).mappings().all()


def _run(conn: Connection, statement: str) -> None:
    conn.exec_driver_sql(statement, execution_options={"no_parameters": True})  # a name may hold a %


def _identifier(name: str) -> str:
    return sql.Identifier(name).as_string()
