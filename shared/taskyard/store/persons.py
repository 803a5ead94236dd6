# ruff: noqa: S608 - statements are put together from constants of this package; every value is bound
"""What the ledger holds of a person: tasks that are about them, tasks that mention their address, stored answers.

A task is about a person where a parameter that its type marks (`catalogue/persons.py`) has their id or address, and a
delivery where it tells of such a task. It mentions them where their address stands anywhere in what is kept of it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any
from urllib.parse import quote
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
# What stands before the address (see `Person.pattern`), in what replaces it.
KEPT = r"\1"
LOWEST = UUID(int=0)
# What stands before an address, and not in the middle of one: `o'ada@`, `team/ada@`. A slash of a path or URL is none
# of it, and the letter before may belong to a line break, a tab or another control character of JSON, or to a space or
# another sign of a URL that no address has. Captured, to be put back: for each match, PostgreSQL would run a lookbehind
# of any length from the start of the text.
_BEFORE = (
    "^",
    r"[^[:alnum:]._%+'/-]",
    r"(?:^|[^[:alnum:]])'",
    r"(?:^|[^[:alnum:]._-])/",
    r"/[[:alnum:]._-]+/",
    r"\\[bfnrt]",
    r"\\u[0-9a-f]{4}",
    r"%(?:0[9ad]|2[02689c]|3[a-f])",
)
_PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]")


@dataclass(frozen=True, slots=True)
class Person:
    """`places`: names of types, each with a parameter that it marks. `secret`: what the new keys of their limits are
    made with, in one attempt; it is kept nowhere, so that they cannot be told from the address."""

    id: int
    email: str | None
    places: Sequence[tuple[str, str]]
    secret: str = field(default_factory=token_hex)

    @property
    def names(self) -> list[str]:
        """What a marked parameter has of them."""
        return [str(self.id), *([] if self.email is None else [self.email.lower()])]

    @property
    def forms(self) -> list[str]:
        """Their address as it stands in text, and in URLs."""
        if self.email is None:
            return []
        email = self.email.lower()
        return sorted({email, email.replace("@", "%40"), quote(email, safe="").lower()})

    @property
    def pattern(self) -> str:
        """A regular expression of PostgreSQL for these forms in text and in JSON, and not for a longer address that
        ends or begins alike. Its first group is what stands before, and stays."""
        written = [_PUNCTUATION.sub(r"\\\g<0>", orjson.dumps(form).decode()[1:-1]) for form in self.forms]
        return rf"({'|'.join(_BEFORE)})(?:{'|'.join(written)})(?![[:alnum:]-]|\.[[:alnum:]])"

    def values(self) -> dict[str, Any]:
        return {
            "types": [name for name, _ in self.places],
            "properties": [parameter for _, parameter in self.places],
            "names": self.names,
            "email": None if self.email is None else self.email.lower(),
            "forms": self.forms,
            "pattern": self.pattern,
            "secret": self.secret,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """Ids of tasks; `last`: the highest one that was looked at, None at the end. `running` ones still write, and in
    `left` the address stands so that it may be the end of another one. `untold`: deliveries of which nothing tells
    whose they are."""

    about: list[UUID]
    mentioning: list[UUID]
    running: list[UUID]
    left: list[UUID]
    untold: list[UUID]
    last: UUID | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What people look at before an erasure: ids of schedules that are about the person or have the address, and of
    other users with it."""

    schedules: list[UUID]
    same_address: list[int]


# The parameters that versions of types mark. Of a list or an object, what is in it may be marked: of such a parameter
# nothing is looked at.
_MARKED = (
    f'$ ? (exists(@."{MARK}") || exists(@.anyOf."{MARK}") || exists(@.oneOf."{MARK}") || exists(@.allOf."{MARK}"))'
)
PERSONS_MARKED = f"""SELECT t.name, t.version, p.key AS parameter FROM task_type t
    CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(t.spec #> '{{params,properties}}')
        WHEN 'object' THEN t.spec #> '{{params,properties}}' ELSE '{{}}' END) p
    WHERE jsonb_path_exists(p.value, '{_MARKED}')"""
_PLACES = sa.text(f"SELECT DISTINCT name, parameter FROM ({PERSONS_MARKED}) m")
# What is kept of a task beside its numbers and times.
_SAID = """concat_ws(' ', t.params::text, t.result::text, t.error::text, array_to_string(t.tags, ' '),
        t.limits::text, t.callback::text, t.request_id,
        (SELECT string_agg(u.key, ' ') FROM unique_key u WHERE u.task_id = t.id),
        (SELECT p.message FROM task_progress p WHERE p.task_id = t.id),
        (SELECT string_agg(concat_ws(' ', a.error::text, a.traceback), ' ') FROM task_attempt a WHERE a.task_id = t.id),
        (SELECT string_agg(e.data::text, ' ') FROM task_event e WHERE e.task_id = t.id))"""
_NAMED = """EXISTS (SELECT FROM unnest(CAST(:types AS text[]), CAST(:properties AS text[])) p(name, parameter)
            WHERE p.name = {task}.name AND lower({task}.params ->> p.parameter) = ANY(CAST(:names AS text[])))"""
# Cheaper than the pattern, which most texts need not be compared with.
HAS_FORM = "EXISTS (SELECT FROM unnest(CAST(:forms AS text[])) form WHERE strpos({text}, form) > 0)"
# The pattern is compared with the text as it is replaced: lower() may make an address of what is none (`İ`).
# A dead delivery may outlive the task that it tells of. It is theirs then where it has the address, and where it has
# not, nothing tells whose its result is.
_LOOK_AT = f"""
WITH looked AS (
    %s
), told AS (
    SELECT t.id, t.state, {_NAMED.format(task="t")} AS is_marked,
        CASE WHEN t.name = '{DELIVER}' THEN coalesce((
            SELECT CASE s.params WHEN '{ERASED}' THEN 'erased' ELSE 'kept' END FROM task s
            WHERE s.id = CAST(coalesce(t.params #>> '{{payload,data,id}}', t.params ->> 'progress_of') AS uuid)),
            CASE WHEN t.finished_at IS NOT NULL AND starts_with(t.params #>> '{{payload,type}}', 'task.')
                THEN 'gone' END) END AS source,
        t.params #> '{{payload,data}}' ?| ARRAY['result', 'error'] AS tells,
        said.text, {HAS_FORM.format(text="said.lower")} AS has_form
    FROM looked t CROSS JOIN LATERAL (SELECT text, lower(text) AS lower FROM (
        SELECT CASE WHEN CAST(:email AS text) IS NOT NULL THEN {_SAID} END AS text OFFSET 0) raw OFFSET 0) said
), found AS MATERIALIZED (
    SELECT id, state, is_marked, source, tells, has_form, has_form AND text ~* :pattern AS is_mentioning FROM told
)
SELECT id, state, has_form, is_mentioning,
    coalesce(is_marked OR source = 'erased' OR source = 'gone' AND is_mentioning, false) AS is_about,
    coalesce(source = 'gone' AND tells AND NOT is_mentioning, false) AS is_untold
FROM found ORDER BY id
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
    SELECT l.*, {HAS_FORM.format(text="lower(l.key)")} AND l.key ~* :pattern AS is_named, said.text
    FROM looked l CROSS JOIN LATERAL (SELECT lower(convert_from(l.answer, 'UTF8')) AS text OFFSET 0) said
), held AS (
    SELECT t.api_key_id, t.key, t.is_named FROM told t
    WHERE t.is_named OR t.answer <> convert_to('{ERASED}', 'UTF8') AND (
        EXISTS (SELECT FROM task k
            WHERE (k.params = '{ERASED}' OR CAST(:dry_run AS boolean) AND {_NAMED.format(task="k")})
            AND k.id = CAST(substring(t.location FROM '^/api/v1/tasks/([0-9a-f-]{{36}})$') AS uuid))
        OR {HAS_FORM.format(text="t.text")} AND t.text ~* :pattern)
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
# The pace of limits. Their marks are left to the leader: tasks that wait would never be looked at without them.
_DELETE_PACE = sa.text(f"""
WITH limits AS (DELETE FROM limit_pace WHERE {HAS_FORM.format(text="lower(name)")} AND name ~* :pattern)
DELETE FROM pace WHERE {HAS_FORM.format(text="lower(name)")} AND name ~* :pattern
""")
_REPLACE_IN_WORKFLOWS = sa.text(f"""
WITH locked AS (
    SELECT id FROM workflow WHERE {HAS_FORM.format(text="lower(request_id)")} AND request_id ~* :pattern
    ORDER BY id FOR UPDATE
)
UPDATE workflow f SET request_id = regexp_replace(f.request_id, :pattern, :nobody, 'gi')
FROM locked WHERE f.id = locked.id
""")
# A group of failures copies the code of an error, which tasks make up, and nothing else that was said of it.
_DELETE_GROUPS = sa.text("DELETE FROM error_group WHERE code ~* :pattern")
# Written in the transaction that submitted the task, so at the same time: an id that is used again is another task's.
_IS_ASKED = sa.text("""
SELECT EXISTS (SELECT FROM audit a JOIN task t ON t.id = :task_id AND t.created_at = a.at
    WHERE a.target_id = :user_id AND a.action = :action AND a.details ->> 'task_id' = CAST(t.id AS text)
        AND a.details -> 'dry_run' = to_jsonb(CAST(:dry_run AS boolean)))
""")
NAMED_IN_SCHEDULE = """EXISTS (
    SELECT FROM unnest(CAST(:types AS text[]), CAST(:properties AS text[])) p(name, parameter)
    WHERE p.name = s.task_name AND lower(s.task -> 'params' ->> p.parameter) = ANY(CAST(:names AS text[])))"""
_STANDING = sa.text(f"""
SELECT ARRAY(SELECT s.id FROM schedule s WHERE {NAMED_IN_SCHEDULE}
    OR CAST(:email AS text) IS NOT NULL AND s.task::text ~* :pattern ORDER BY s.id LIMIT :limit) AS schedules,
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
    places = conn.execute(_PLACES).all()
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
    left = [row.id for row in rows if row.has_form and not row.is_mentioning and not row.is_about]
    untold = [row.id for row in rows if row.is_untold]
    return Found(about, mentioning, running, left, untold, rows[-1].id if len(rows) == LOOKED_AT else None)


def blank_answers(
    conn: Connection, of: Person, after: tuple[UUID, str], *, dry_run: bool
) -> tuple[int, tuple[UUID, str] | None]:
    """Blanks those of the next answers, kept for Idempotency-Keys, that hold something of them, and deletes those whose
    key does; how many, and the last key, None at the end."""
    values = {**of.values(), "limit": LOOKED_AT, "dry_run": dry_run}
    row = conn.execute(_ANSWERS, {**values, "after_id": after[0], "after": after[1]}).first()
    return (0, None) if row is None else (row.held, (row.api_key_id, row.key))


def delete_user(conn: Connection, of: Person) -> None:
    """With its profile, statistics and activity, with what limits and groups of failures kept of its address; that in
    request ids of workflows is replaced."""
    if of.email is not None:
        conn.execute(_DELETE_PACE, of.values())
        conn.execute(_REPLACE_IN_WORKFLOWS, {**of.values(), "nobody": KEPT + NOBODY})
        conn.execute(_DELETE_GROUPS, of.values())
    conn.execute(sa.delete(user_activity).where(user_activity.c.user_id == of.id))
    conn.execute(sa.delete(users).where(users.c.id == of.id))
