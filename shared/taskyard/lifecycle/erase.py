# ruff: noqa: S608 - statements are put together from constants of this package; every value is bound
"""erase: what final tasks hold of a person goes, and the tasks stay, with their times and outcomes.

No edge of the transition table. Tasks about the person that have not ended are cancelled first. Where a key of limits
has their address, all tasks of the key that have not ended get another key together: limits hold as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..store.audit import Actor
from ..store.persons import ERASED, HAS_FORM, KEPT, NOBODY, Found, Person
from .cancel import cancel, cancel_descendants, hold_families
from .committed import Committed, together


@dataclass(frozen=True, slots=True)
class Erased:
    """How many tasks: cancelled because they were about the person; blanked; with their address replaced."""

    cancelled: int = 0
    blanked: int = 0
    mentions: int = 0


_UNASKED = sa.text(
    "SELECT id FROM task WHERE id = ANY(:ids) AND finished_at IS NULL AND cancel_requested_at IS NULL ORDER BY id"
)
_WAITING = sa.text("SELECT count(*) FROM task WHERE id = ANY(:ids) AND finished_at IS NULL AND state <> 'running'")
_ERROR = """CASE WHEN t.error IS NOT NULL
            THEN t.error - 'values' || '{"message": "What was said of this failure was erased."}' END"""
# A dead letter without its parameters could only fail again, so it is put away.
_BLANK = sa.text(f"""
WITH locked AS (
    SELECT id FROM task WHERE id = ANY(:ids) AND finished_at IS NOT NULL ORDER BY id FOR UPDATE
), blanked AS (
    UPDATE task t SET params = '{ERASED}', tags = '{{}}', limits = NULL, callback = NULL, request_id = NULL,
        result = CASE WHEN t.result IS NOT NULL THEN CAST('{ERASED}' AS jsonb) END,
        error = {_ERROR}, discarded_at = CASE WHEN t.state = 'failed' THEN coalesce(t.discarded_at, now()) END
    FROM locked WHERE t.id = locked.id RETURNING t.id
), attempts AS (
    UPDATE task_attempt t SET traceback = NULL, error = {_ERROR} FROM blanked WHERE t.task_id = blanked.id
), events AS (
    UPDATE task_event e SET data = jsonb_strip_nulls(jsonb_build_object('by', e.data -> 'by')) FROM blanked
    WHERE e.task_id = blanked.id
), progress AS (
    UPDATE task_progress p SET message = '' FROM blanked WHERE p.task_id = blanked.id
)
SELECT count(*) FROM blanked
""")


def _replaced(column: str) -> str:
    return f"CAST(regexp_replace({column}::text, :pattern, :nobody, 'gi') AS jsonb)"


_NEW_KEY = "'erased:' || md5(CAST(:secret AS text) || {key})"
_KEY = "(t.limits ->> 'key')"
_NEW_LIMITS = f"jsonb_set(t.limits, '{{key}}', to_jsonb({_NEW_KEY.format(key=_KEY)}))"
# All of a key at once, also those that run: the leader grants by what holds the key. Neither state nor claim changes.
_RENAME_LIMITS = sa.text(f"""
WITH locked AS (
    SELECT id FROM task t
    WHERE finished_at IS NULL AND limits IS NOT NULL
        AND CASE WHEN {HAS_FORM.format(text=f"lower({_KEY})")} THEN {_KEY} ~* :pattern END
    ORDER BY id FOR UPDATE
), renamed AS (
    UPDATE task t SET limits = {_NEW_LIMITS} FROM locked WHERE t.id = locked.id RETURNING {_KEY} AS key
), marks AS (
    INSERT INTO limit_mark (key) SELECT DISTINCT 'task:' || key FROM renamed
), paces AS (
    DELETE FROM limit_pace WHERE starts_with(name, 'task:') AND {HAS_FORM.format(text="lower(name)")}
        AND name ~* :pattern
    RETURNING {_NEW_KEY.format(key="substr(name, 6)")} AS key, last_at
), new_paces AS (
    INSERT INTO limit_pace AS p (name, last_at) SELECT 'task:' || key, last_at FROM paces
    ON CONFLICT (name) DO UPDATE SET last_at = greatest(p.last_at, excluded.last_at)
)
SELECT count(*) FROM renamed
""")
# Not of a task that runs: its next write would bring the address back. Unique keys stay different from each other, and
# the leader has to look at a limit's new key.
_REPLACE = sa.text(f"""
WITH locked AS (
    SELECT id FROM task WHERE id = ANY(:ids) AND state <> 'running' ORDER BY id FOR UPDATE
), replaced AS (
    UPDATE task t SET params = {_replaced("t.params")}, result = {_replaced("t.result")},
        error = {_replaced("t.error")}, callback = {_replaced("t.callback")},
        limits = CASE WHEN {_KEY} ~* :pattern THEN {_NEW_LIMITS} ELSE t.limits END,
        request_id = regexp_replace(t.request_id, :pattern, :nobody, 'gi'),
        tags = ARRAY(SELECT regexp_replace(tag, :pattern, :nobody, 'gi') FROM unnest(t.tags) tag)
    FROM locked WHERE t.id = locked.id RETURNING t.id, t.limited, t.limits ->> 'key' AS limit_key
), keys AS (
    UPDATE unique_key u SET key = regexp_replace(u.key, :pattern, :kept || u.task_id::text, 'gi') FROM replaced
    WHERE u.task_id = replaced.id AND u.key ~* :pattern
), marks AS (
    INSERT INTO limit_mark (key) SELECT DISTINCT 'task:' || limit_key FROM replaced
    WHERE limited = 'waiting' AND limit_key IS NOT NULL
), attempts AS (
    UPDATE task_attempt a SET error = {_replaced("a.error")},
        traceback = regexp_replace(a.traceback, :pattern, :nobody, 'gi')
    FROM replaced WHERE a.task_id = replaced.id
), events AS (
    UPDATE task_event e SET data = {_replaced("e.data")} FROM replaced
    WHERE e.task_id = replaced.id AND e.data::text ~* :pattern
), progress AS (
    UPDATE task_progress p SET message = regexp_replace(p.message, :pattern, :nobody, 'gi')
    FROM replaced WHERE p.task_id = replaced.id
)
SELECT count(*) FROM replaced
""")


def erase(conn: Connection, of: Person, found: Found, *, by: Actor) -> Committed[Erased]:
    """Cancels the tasks about the person, and what they submitted, blanks those that have ended, and replaces the
    address in the others that do not run. In a transaction; to be repeated while tasks run."""
    parts: list[Committed[list[UUID]]] = []
    # What a task that has ended submitted goes on: it may be about others.
    if live := list(conn.scalars(_UNASKED, {"ids": found.about})):
        hold_families(conn, live)
        asked = cancel(conn, live, actor=by.name)
        moved = [c.change.task_id for c in asked.answer if c.before != c.change.state]
        parts = [asked.answering(moved), cancel_descendants(conn, live, actor=by.name)]
    cancelled = sum(len(part.answer) for part in parts)
    blanked = _count(conn, _BLANK, {"ids": found.about})
    values = {"pattern": of.pattern, "secret": of.secret, "nobody": KEPT + NOBODY, "kept": KEPT}
    mentions = _count(conn, _REPLACE, {"ids": found.mentioning, **values})
    done = together(parts, Erased(cancelled, blanked, mentions))
    done.wakes_scheduler |= mentions > 0
    return done


def rename_limits(conn: Connection, of: Person) -> Committed[int]:
    """Gives all tasks that wait or run, and whose limit's key has the address, another key, one for each; how many. In
    a transaction, before `erase`."""
    renamed: int = conn.execute(_RENAME_LIMITS, of.values()).scalar_one() if of.email is not None else 0
    return Committed(renamed, wakes_scheduler=renamed > 0)


def would_cancel(conn: Connection, found: Found) -> int:
    """How many of the tasks about the person `erase` would cancel at once, without what these submitted."""
    return _count(conn, _WAITING, {"ids": found.about})


def _count(conn: Connection, statement: sa.TextClause, values: dict[str, object]) -> int:
    count: int = conn.execute(statement, values).scalar_one() if values["ids"] else 0
    return count
