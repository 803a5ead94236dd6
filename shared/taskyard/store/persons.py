# ruff: noqa: S608 - statements are put together from constants of this package; every value is bound
"""What the ledger holds of a person: tasks that are about them, tasks that mention their address, stored answers.

A task is about a person where a parameter that its type marks (`catalogue/persons.py`) has their id or address, and a
delivery where it tells of such a task. It mentions them where their address stands anywhere in what is kept of it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from ..catalogue.persons import MARK
from ..domain.callbacks import DELIVER
from ..domain.tasks import State
from .audit import Action
from .tables.users import user_activity, users

# Tasks, or stored answers, that one statement looks at: some 50 ms.
LOOKED_AT = 2_000
# Schedules, and other users, that an answer names.
NAMED = 100
# What stands in place of parameters, results and answers.
ERASED = '{"erased": true}'
# In place of an address. Nothing is delivered to it (RFC 2606), and a list of addresses stays one.
NOBODY = "erased@erased.invalid"
LOWEST = UUID(int=0)
# An address begins here, and not in the middle of one: `o'ada@`, `team/ada@`. A slash of a path or URL is none of it.
_STARTS = r"(?<![[:alnum:]._%+-])(?<![[:alnum:]]')(?<!(?:^|[^[:alnum:]._/-])[[:alnum:]._-]+/)"
# The letter before it may belong to a line break, a tab or another control character of JSON.
_ESCAPE = r"(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4})"
_PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]")


@dataclass(frozen=True, slots=True)
class Person:
    """`places`: names of types, each with a parameter that it marks."""

    id: int
    email: str | None
    places: Sequence[tuple[str, str]]

    @property
    def names(self) -> list[str]:
        """What a marked parameter has of them."""
        return [str(self.id), *([] if self.email is None else [self.email.lower()])]

    @property
    def pattern(self) -> str:
        """A regular expression of PostgreSQL for their address as it stands in text and in JSON, and not for a longer
        one that ends or begins alike."""
        written = _PUNCTUATION.sub(r"\\\g<0>", orjson.dumps(self.email or "").decode()[1:-1])
        return rf"({_STARTS}|{_ESCAPE}){written}(?![[:alnum:]-]|\.[[:alnum:]])"

    def values(self) -> dict[str, Any]:
        return {
            "types": [name for name, _ in self.places],
            "properties": [parameter for _, parameter in self.places],
            "names": self.names,
            "email": None if self.email is None else self.email.lower(),
            "pattern": self.pattern,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """Ids of tasks; `last`: the highest one that was looked at, None at the end. `running` ones still write."""

    about: list[UUID]
    mentioning: list[UUID]
    running: list[UUID]
    last: UUID | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What an erasure leaves, for people to decide: ids of schedules that are about the person or have the address, and
    of other users with it."""

    schedules: list[UUID]
    same_address: list[int]


_PLACES = sa.text("""
SELECT DISTINCT t.name, p.key FROM task_type t
CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(t.spec #> '{params,properties}')
    WHEN 'object' THEN t.spec #> '{params,properties}' ELSE '{}' END) p
WHERE jsonb_path_exists(p.value, CAST(:marked AS jsonpath))
""")
# What is kept of a task beside its numbers and times.
_SAID = """concat_ws(' ', t.params::text, t.result::text, t.error::text, array_to_string(t.tags, ' '),
        t.limits::text, t.callback::text, t.request_id,
        (SELECT string_agg(u.key, ' ') FROM unique_key u WHERE u.task_id = t.id),
        (SELECT p.message FROM task_progress p WHERE p.task_id = t.id),
        (SELECT string_agg(concat_ws(' ', a.error::text, a.traceback), ' ') FROM task_attempt a WHERE a.task_id = t.id),
        (SELECT string_agg(e.data::text, ' ') FROM task_event e WHERE e.task_id = t.id))"""
# A dead delivery may outlive the task that it tells of. Whose that was cannot be told then, so it counts as theirs.
_LOOK_AT = f"""
WITH looked AS (
    %s
), told AS (
    SELECT t.id, t.state,
        EXISTS (SELECT FROM unnest(CAST(:types AS text[]), CAST(:properties AS text[])) p(name, parameter)
            WHERE p.name = t.name AND lower(t.params ->> p.parameter) = ANY(CAST(:names AS text[])))
        OR t.name = '{DELIVER}' AND coalesce((SELECT s.params = '{ERASED}' FROM task s
            WHERE s.id = CAST(coalesce(t.params #>> '{{payload,data,id}}', t.params ->> 'progress_of') AS uuid)),
            t.finished_at IS NOT NULL AND starts_with(t.params #>> '{{payload,type}}', 'task.'), false) AS is_about,
        CASE WHEN CAST(:email AS text) IS NULL THEN NULL ELSE {_SAID} END AS said
    FROM looked t
)
SELECT id, state, is_about, coalesce(strpos(lower(said), :email) > 0 AND said ~* :pattern, false) AS is_mentioning
FROM told ORDER BY id
"""
_LOOK = sa.text(_LOOK_AT % "SELECT * FROM task WHERE id > :after ORDER BY id LIMIT :limit")
_LOOK_AGAIN = sa.text(_LOOK_AT % "SELECT * FROM task WHERE id = ANY(:ids)")
# The answer to a submit has the place of its task in a header, and its parameters. One under a key that has the address
# goes: a blank one would keep it.
_ANSWERS = sa.text(f"""
WITH looked AS (
    SELECT api_key_id, key, headers ->> 'Location' AS location, answer FROM idempotency_key
    WHERE (api_key_id, key) > (:after_id, :after) ORDER BY api_key_id, key LIMIT :limit
), told AS (
    SELECT l.*, CAST(:email AS text) IS NOT NULL AND l.key ~* :pattern AS is_named FROM looked l
), held AS (
    SELECT t.api_key_id, t.key, t.is_named FROM told t
    WHERE t.is_named OR t.answer <> convert_to('{ERASED}', 'UTF8') AND (
        EXISTS (SELECT FROM task k WHERE k.params = '{ERASED}'
            AND k.id = CAST(substring(t.location FROM '^/api/v1/tasks/([0-9a-f-]{{36}})$') AS uuid))
        OR CAST(:email AS text) IS NOT NULL AND convert_from(t.answer, 'UTF8') ~* :pattern)
), blanked AS (
    UPDATE idempotency_key k SET answer = convert_to('{ERASED}', 'UTF8') FROM held h
    WHERE NOT CAST(:dry_run AS boolean) AND NOT h.is_named AND (k.api_key_id, k.key) = (h.api_key_id, h.key)
), deleted AS (
    DELETE FROM idempotency_key k USING held h
    WHERE NOT CAST(:dry_run AS boolean) AND h.is_named AND (k.api_key_id, k.key) = (h.api_key_id, h.key)
)
SELECT (SELECT count(*) FROM held) AS held, l.api_key_id, l.key
FROM looked l ORDER BY l.api_key_id DESC, l.key DESC LIMIT 1
""")
_DELETE_MARKS = sa.text("""
WITH marks AS (DELETE FROM limit_mark WHERE key ~* :pattern) DELETE FROM pace WHERE name ~* :pattern
""")
# Written in the transaction that submitted the task, so at the same time: an id that is used again is another task's.
_IS_ASKED = sa.text("""
SELECT EXISTS (SELECT FROM audit a JOIN task t ON t.id = :task_id AND t.created_at = a.at
    WHERE a.target_id = :user_id AND a.action = :action AND a.details ->> 'task_id' = CAST(t.id AS text)
        AND a.details -> 'dry_run' = to_jsonb(CAST(:dry_run AS boolean)))
""")
_STANDING = sa.text("""
SELECT ARRAY(SELECT s.id FROM schedule s WHERE EXISTS (
    SELECT FROM unnest(CAST(:types AS text[]), CAST(:properties AS text[])) p(name, parameter)
    WHERE p.name = s.task_name AND lower(s.task -> 'params' ->> p.parameter) = ANY(CAST(:names AS text[]))
) OR CAST(:email AS text) IS NOT NULL AND s.task::text ~* :pattern ORDER BY s.id LIMIT :limit) AS schedules,
ARRAY(SELECT u.id FROM users u WHERE lower(u.email) = :email AND u.id <> :id ORDER BY u.id LIMIT :limit) AS same_address
""")


def is_asked(conn: Connection, user_id: int, task_id: UUID, *, dry_run: bool) -> bool:
    """Whether the audit log says that this task was to erase this user."""
    values = {"user_id": str(user_id), "action": Action.USER_ERASE, "task_id": task_id, "dry_run": dry_run}
    return bool(conn.execute(_IS_ASKED, values).scalar_one())


def person(conn: Connection, user_id: int) -> Person:
    email = conn.execute(sa.select(users.c.email).where(users.c.id == user_id)).scalar()
    if email is not None and email.lower() == NOBODY:  # what was erased would be found again for ever
        email = None
    places = conn.execute(_PLACES, {"marked": f'$.**."{MARK}"'}).all()
    return Person(user_id, email, [(name, parameter) for name, parameter in places])


def standing(conn: Connection, of: Person) -> Standing:
    row = conn.execute(_STANDING, {**of.values(), "id": of.id, "limit": NAMED}).one()
    return Standing(row.schedules, row.same_address)


def look(conn: Connection, of: Person, after: UUID) -> Found:
    """Looks at the next tasks of the ledger, LOOKED_AT at most."""
    return _found(conn.execute(_LOOK, {**of.values(), "after": after, "limit": LOOKED_AT}).all())


def look_again(conn: Connection, of: Person, ids: Sequence[UUID]) -> Found:
    """Looks at these, fewer than LOOKED_AT."""
    return _found(conn.execute(_LOOK_AGAIN, {**of.values(), "ids": list(ids)}).all())


def _found(rows: Sequence[sa.Row[Any]]) -> Found:
    about = [row.id for row in rows if row.is_about]
    mentioning = [row.id for row in rows if row.is_mentioning and not row.is_about]
    running = [row.id for row in rows if row.state == State.RUNNING and (row.is_about or row.is_mentioning)]
    return Found(about, mentioning, running, rows[-1].id if len(rows) == LOOKED_AT else None)


def blank_answers(
    conn: Connection, of: Person, after: tuple[UUID, str], *, dry_run: bool
) -> tuple[int, tuple[UUID, str] | None]:
    """Blanks those of the next answers, kept for Idempotency-Keys, that hold something of them, and deletes those whose
    key does; how many, and the last key, None at the end."""
    values = {"email": of.email, "pattern": of.pattern, "limit": LOOKED_AT, "dry_run": dry_run}
    row = conn.execute(_ANSWERS, {**values, "after_id": after[0], "after": after[1]}).first()
    return (0, None) if row is None else (row.held, (row.api_key_id, row.key))


def delete_user(conn: Connection, of: Person) -> None:
    """With its profile, statistics and activity, and with what limits kept under its address."""
    if of.email is not None:
        conn.execute(_DELETE_MARKS, {"pattern": of.pattern})
    conn.execute(sa.delete(user_activity).where(user_activity.c.user_id == of.id))
    conn.execute(sa.delete(users).where(users.c.id == of.id))
