"""A guard in a test's database: it refuses every change of a task's state that neither the composer nor the function
for applications wrote."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.lifecycle.composer import MARK
from taskyard.store import ledger

_GUARD = f"""
CREATE OR REPLACE FUNCTION refuse_moves_of_others() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The function for applications runs under another role than the session's.
    IF current_user = session_user AND current_query() NOT LIKE '/* {MARK} %' THEN
        RAISE EXCEPTION 'not composed: %', current_query();
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER only_the_composer_moves_tasks BEFORE INSERT OR UPDATE OF state ON task
FOR EACH STATEMENT EXECUTE FUNCTION refuse_moves_of_others();
"""


def guard_moves(engine: Engine) -> None:
    """From now on every statement that changes a state, from whatever process, fails unless the composer wrote it."""
    ledger.run(engine, lambda conn: conn.exec_driver_sql(_GUARD.replace("%", "%%")))


def release_moves(engine: Engine) -> None:
    ledger.run(engine, lambda conn: conn.exec_driver_sql("DROP TRIGGER only_the_composer_moves_tasks ON task"))
    engine.dispose()


def move_by_hand(engine: Engine) -> None:
    """A change of state that the guard refuses."""
    statement = sa.text("UPDATE task SET state = 'failed' WHERE false")
    ledger.run(engine, lambda conn: conn.execute(statement))
