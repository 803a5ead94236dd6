"""The failures that the release before stored get their values, whatever interrupts it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine

from taskyard.catalogue.kits import load
from taskyard.catalogue.words import PLATFORM, told
from taskyard.domain.tasks import State
from taskyard.settings import Settings
from taskyard.store import migrate
from taskyard_api.translation import TypeName, Words, platform_words, read_catalogues
from taskyard_dev.postgres import Postgres

_FILE = migrate.MIGRATIONS / "versions" / "0003_values_of_failures.py"
_SPEC = importlib.util.spec_from_file_location("values_of_failures", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
MIGRATION = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(MIGRATION)
BEFORE = MIGRATION.down_revision
CATALOGUE = load(Settings(diagnostics=True)).catalogue

CRASH = "The process that ran it ended: killed by signal 9 (SIGKILL)."
LIMIT = (
    "The task ended its process 3 times; the last time: killed by signal 9 (SIGKILL). Look for the reason in its"
    " parameters and its log, then retry it."
)
REFUSED = "The mail server refused the recipient (550 no). Check the address and the message, then send it anew."
FULL = "The files cannot be reached now: the storage is full. It is tried again; if that goes on, ask the operator."


@pytest.fixture
def old(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database as the release before left it."""
    name = f"values_{abs(hash(request.node.name)) % 10**9}"
    url = postgres.create_database(name)
    command.upgrade(migrate.config(url), BEFORE)
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()
    postgres.drop_database(name)


def as_before(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "type": "T", "retryable": True, "attempt": 1}


_INSERT_TASK = sa.text("""
INSERT INTO task (id, name, queue, params, max_attempts, soft_timeout_seconds, hard_timeout_seconds, state, run_at,
    due_at, finished_at, claim, attempt, error, discarded_at)
VALUES (:id, :name, 'default', '{}', 3, 1, 1, CAST(:state AS text), now(),
    CASE WHEN CAST(:state AS text) IN ('scheduled', 'retrying') THEN now() END,
    CASE WHEN CAST(:state AS text) IN ('succeeded', 'failed', 'cancelled') THEN now() END,
    CASE WHEN CAST(:state AS text) = 'running' THEN gen_random_uuid() END, 1, CAST(:error AS jsonb),
    CASE WHEN :discarded THEN now() END)
""")
_ATTEMPT = """
INSERT INTO task_attempt (task_id, attempt, outcome, queue, error, traceback)
VALUES (:id, 1, 'retrying', 'default', CAST(:error AS jsonb), 'T')
"""
# The last of the rows cannot be written.
_CUT = """
CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id = (SELECT id FROM task ORDER BY id DESC LIMIT 1) THEN RAISE EXCEPTION 'cut off'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER cut BEFORE UPDATE ON task FOR EACH ROW EXECUTE FUNCTION cut();
"""
_MORE = """
CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.id := gen_random_uuid();
    NEW.id := overlay(CAST(NEW.id AS text) placing 'ffffffff' FROM 1);
    NEW.error := NEW.error - 'values';
    INSERT INTO task SELECT NEW.*;
    RETURN NULL;
END $$;
CREATE TRIGGER more AFTER UPDATE ON task FOR EACH ROW EXECUTE FUNCTION more();
"""


def store(
    engine: Engine,
    error: dict[str, Any] | None,
    state: State = State.FAILED,
    *,
    name: str = "email.send",
    discarded: bool = False,
) -> UUID:
    """A task, and an attempt, as the release before writes them."""
    task = uuid4()
    text = None if error is None else json.dumps(error)
    with engine.begin() as conn:
        values = {"id": task, "name": name, "state": state, "error": text, "discarded": discarded}
        conn.execute(_INSERT_TASK, values)
        conn.execute(sa.text(_ATTEMPT), {"id": task, "error": text})
    return task


def store_many(engine: Engine, number: int) -> None:
    with engine.begin() as conn:
        rows = [{"id": uuid4(), "name": "email.send", "state": "failed", "discarded": False} for _ in range(number)]
        batch = [{**row, "error": json.dumps(as_before("crash", CRASH))} for row in rows]
        conn.execute(_INSERT_TASK, batch)
        conn.execute(sa.text(_ATTEMPT), [{"id": row["id"], "error": row["error"]} for row in batch])


def errors_of(engine: Engine, task: UUID) -> list[dict[str, Any]]:
    """The task's own, and those of its attempts, whose columns of today not every database here has."""
    with engine.connect() as conn:
        own = conn.execute(sa.text("SELECT error FROM task WHERE id = :id"), {"id": task}).scalar_one()
        attempts = sa.text("SELECT error FROM task_attempt WHERE task_id = :id AND error IS NOT NULL ORDER BY id")
        return [own, *conn.execute(attempts, {"id": task}).scalars()]


def upgrade(engine: Engine) -> None:
    migrate.upgrade(engine.url.render_as_string(hide_password=False))


@pytest.mark.parametrize("state", State)
def test_in_every_state_task_and_attempts_get_their_values(old: Engine, state: State) -> None:
    crashed = store(old, as_before("crash", CRASH), state)
    upgrade(old)
    errors = errors_of(old, crashed)
    assert len(errors) >= 2
    assert all(error["values"] == {"cause": "killed by signal 9 (SIGKILL)"} for error in errors)
    assert {key: value for key, value in errors[0].items() if key != "values"} == as_before("crash", CRASH)


def test_dead_letters_discarded_or_not_are_told_in_the_readers_language_afterwards(old: Engine) -> None:
    stored = {
        store(old, as_before("crash_limit", LIMIT)): "A feladat 3 alkalommal",
        store(old, as_before("crash_limit", LIMIT), discarded=True): "A feladat 3 alkalommal",
        store(old, as_before("smtp_refused", REFUSED)): "A levelezőkiszolgáló elutasította a címzettet (550 no).",
        store(
            old, as_before("storage_unavailable", FULL), name="files.generate_thumbnail"
        ): "A fájlok most nem érhetők el: a tároló",
    }
    upgrade(old)
    words = Words(("hu",), platform_words(PLATFORM, read_catalogues()), CATALOGUE)
    for task, beginning in stored.items():
        with old.connect() as conn:
            name = conn.execute(sa.text("SELECT name FROM task WHERE id = :id"), {"id": task}).scalar_one()
        for error in errors_of(old, task):
            assert words.failure(error, TypeName(name, 1))["message"].startswith(beginning)


@pytest.mark.parametrize("code", MIGRATION.SENTENCES)
def test_every_sentence_of_the_release_before_gives_its_values_back(code: str) -> None:
    template = MIGRATION.SENTENCES[code]
    names = MIGRATION._PATTERNS[code].groupindex
    values = {name: f"<{name}: {{x}}\n>" for name in names}
    assert MIGRATION.values_in(code, template.format(**values)) == values
    types = [t.vocabulary for t in CATALOGUE if code in t.errors]
    assert told(code, values, [*types, PLATFORM], "de" if types else "en") is not None


def test_the_phrases_are_known_by_their_names() -> None:
    known = {name: words["en"] for t in CATALOGUE for name, words in t.phrases.items()}
    known |= {name: words["en"] for name, words in PLATFORM.phrases.items()}
    assert {name: text for text, name in MIGRATION.PHRASES.items()}.items() <= known.items()


def test_a_sentence_that_fits_no_template_is_left_alone_and_so_is_what_has_values(old: Engine) -> None:
    left = [
        as_before("crash", "The process that ran it stopped."),
        as_before("smtp_refused", "My own words."),
        as_before("task_exception", "It was not finished by noon."),
        as_before("own", "Own words."),
        {**as_before("crash", CRASH), "values": {"cause": "told already"}},
        {"code": "crash"},
        {"message": CRASH},
        {"code": 3, "message": [CRASH]},
    ]
    tasks = [store(old, error) for error in (*left, None)]
    upgrade(old)
    assert [errors_of(old, task)[0] for task in tasks] == [*left, None]


def test_a_long_value_is_cut(old: Engine) -> None:
    long = store(old, as_before("result_invalid", MIGRATION.SENTENCES["result_invalid"].format(reason="é" * 1_500)))
    upgrade(old)
    assert len(errors_of(old, long)[0]["values"]["reason"]) == 500


def test_what_was_cut_off_is_done_when_it_is_repeated(old: Engine) -> None:
    """And what was done until then stays: each page is a transaction of its own."""
    store_many(old, 700)
    with old.begin() as conn:
        conn.execute(sa.text(_CUT))
    with pytest.raises(sa.exc.DBAPIError, match="cut off"):
        upgrade(old)
    assert current(old) == BEFORE
    tasks, attempts = filled(old)
    assert 0 < tasks < 700
    assert attempts == 0
    with old.begin() as conn:
        conn.execute(sa.text("DROP TRIGGER cut ON task"))
    upgrade(old)
    assert current(old) == migrate.head()
    assert filled(old) == (700, 700)


def test_tasks_that_are_written_meanwhile_neither_stop_it_nor_are_lost(old: Engine) -> None:
    """A trigger stands for the workers of the release before: each write brings another failure."""
    store_many(old, 3)
    with old.begin() as conn:
        conn.execute(sa.text(_MORE))
    upgrade(old)
    with old.connect() as conn:
        rest = conn.execute(sa.text("SELECT error FROM task WHERE NOT error ? 'values'")).scalars().all()
    assert len(rest) == 3
    words = Words(("de",), platform_words(PLATFORM, read_catalogues()), CATALOGUE)
    assert {words.failure(error, TypeName("email.send", 1))["message"] for error in rest} == {CRASH}


def test_a_row_that_somebody_holds_does_not_stop_the_migration(old: Engine) -> None:
    held, free = store(old, as_before("crash", CRASH)), store(old, as_before("crash", CRASH))
    with old.connect() as other, other.begin():
        other.execute(sa.text("SELECT 1 FROM task WHERE id = :id FOR UPDATE"), {"id": held})
        command.upgrade(migrate.config(old.url.render_as_string(hide_password=False)), MIGRATION.revision)
    assert "values" not in errors_of(old, held)[0]
    assert errors_of(old, free)[0]["values"] == {"cause": "killed by signal 9 (SIGKILL)"}


def test_the_way_back_leaves_rows_that_the_release_before_can_read(old: Engine) -> None:
    task = store(old, as_before("crash", CRASH))
    upgrade(old)
    command.downgrade(migrate.config(old.url.render_as_string(hide_password=False)), BEFORE)
    assert errors_of(old, task)[0]["message"] == CRASH


def current(engine: Engine) -> str | None:
    with engine.connect() as conn:
        return migrate.current(conn)


def filled(engine: Engine) -> tuple[int, int]:
    """How many tasks and attempts have their values."""
    with engine.connect() as conn:
        tasks = conn.execute(sa.text("SELECT count(*) FROM task WHERE error ? 'values'")).scalar_one()
        attempts = conn.execute(sa.text("SELECT count(*) FROM task_attempt WHERE error ? 'values'")).scalar_one()
    return tasks, attempts
