"""Migrations lead from nothing to the tables that the code declares, repeated or concurrent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from taskyard.store import migrate
from taskyard.store.tables import metadata
from taskyard_dev.postgres import Postgres

# Everything about a table, as PostgreSQL prints it. Alembic does not compare checks, predicates or options.
_SHAPE = r"""
SELECT 'column', c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod) || ' '
    || a.attnotnull || ' ' || a.attidentity::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    || ' ' || coalesce(col_description(c.oid, a.attnum), '')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
UNION ALL SELECT 'options', relname::text, relkind::text, coalesce(reloptions::text, '') FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
UNION ALL SELECT 'index', tablename::text, indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname::text, pg_get_triggerdef(oid) FROM pg_trigger
WHERE NOT tgisinternal
UNION ALL SELECT 'function', 'any', proname::text, regexp_replace(prosrc, '\s+', ' ', 'g') FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
"""


@pytest.fixture
def empty(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"migrations_{abs(hash(request.node.name)) % 10**9}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


def shape(url: str) -> set[tuple[str, ...]]:
    engine = sa.create_engine(url)
    with engine.connect() as conn:
        rows = {tuple(map(str, row)) for row in conn.execute(sa.text(_SHAPE))}
    engine.dispose()
    return {row for row in rows if row[1] != "alembic_version"}


def current(url: str) -> str | None:
    engine = sa.create_engine(url)
    with engine.connect() as conn:
        found = migrate.current(conn)
    engine.dispose()
    return found


def test_from_an_empty_database_to_the_newest_schema_and_again(empty: str) -> None:
    assert current(empty) is None
    assert migrate.upgrade(empty) == migrate.head() == current(empty)
    first = shape(empty)
    assert migrate.upgrade(empty) == migrate.head()
    assert shape(empty) == first


def test_the_newest_revision_is_told_by_the_names_of_the_files() -> None:
    directory = ScriptDirectory.from_config(migrate.config(""))
    assert migrate.head() == directory.get_current_head()
    revisions = [script.revision for script in directory.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)
    assert all(migrate.is_known(revision) for revision in revisions)


def test_what_a_revision_says_it_follows_is_what_it_follows() -> None:
    for script in ScriptDirectory.from_config(migrate.config("")).walk_revisions():
        told = f"Revision ID: {script.revision}\nRevises: {script.down_revision or ''}".rstrip()
        assert told in (script.module.__doc__ or ""), script.path


def test_containers_that_start_together_migrate_once(empty: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(migrate.upgrade, [empty, empty])) == [migrate.head()] * 2
    assert current(empty) == migrate.head()


def test_a_transaction_that_has_used_a_table_delays_a_migration_and_nobody_else(empty: str) -> None:
    """Others would queue behind the statement that waits to change the table."""
    command.upgrade(migrate.config(empty), "0005")
    engine = sa.create_engine(empty)
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND database IS NOT NULL")
    with engine.connect() as application, engine.connect() as other, ThreadPoolExecutor(1) as pool:
        application.execute(sa.text("SELECT FROM task"))
        other.execute(sa.text("SET statement_timeout = '20s'"))
        migrating = pool.submit(migrate.upgrade, empty)
        try:
            while not other.execute(waiting).scalar_one():
                assert not migrating.done()
            other.execute(sa.text("SELECT FROM task"))
            assert not migrating.done()
        finally:
            application.rollback()
            other.rollback()
        assert migrating.result(30) == migrate.head()
    engine.dispose()


def test_what_a_claim_and_an_ordinary_end_change_stands_side_by_side(empty: str) -> None:
    """Of a row that stays on its page, the log has what lies between the first byte that changed and the last one."""
    migrate.upgrade(empty)
    engine = sa.create_engine(empty)
    with engine.connect() as conn:
        columns = [c["name"] for c in sa.inspect(conn).get_columns("task")]
    engine.dispose()
    changed = ("state", "claim", "worker_id", "worker", "attempt", "started_at", "finished_at", "result", "error")
    first = columns.index("state")
    assert tuple(columns[first : first + len(changed)]) == changed
    assert [c.name for c in metadata.tables["task"].columns][-len(changed) - 1 : -1] == list(changed)


def test_the_migrations_make_exactly_what_the_code_declares(empty: str, postgres: Postgres) -> None:
    """Checks, index predicates, storage options and comments too."""
    migrate.upgrade(empty)
    declared = postgres.create_database("declared_by_code")
    engine = sa.create_engine(declared)
    metadata.create_all(engine)
    engine.dispose()
    try:
        assert shape(empty) == shape(declared)
    finally:
        postgres.drop_database("declared_by_code")


def test_alembic_finds_nothing_to_generate(empty: str) -> None:
    migrate.upgrade(empty)
    command.check(migrate.config(empty))


def test_the_way_back_leaves_nothing(empty: str) -> None:
    migrate.upgrade(empty)
    command.downgrade(migrate.config(empty), "base")
    assert not shape(empty)
    assert migrate.upgrade(empty) == migrate.head()


def test_a_path_with_a_percent_sign_is_a_path(empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "100%(sure)s"
    shutil.copytree(migrate.MIGRATIONS, elsewhere)
    monkeypatch.setattr(migrate, "MIGRATIONS", elsewhere)
    assert migrate.upgrade(empty) == current(empty)


def test_a_schema_of_a_later_release_is_left_alone_and_can_be_used(empty: str) -> None:
    engine = sa.create_engine(empty)
    with engine.connect() as conn:
        assert not migrate.is_usable(conn), "an empty database cannot be used"
    migrate.upgrade(empty)
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    assert migrate.upgrade(empty) == "9999" == current(empty)
    with engine.connect() as conn:
        assert migrate.is_usable(conn)
    engine.dispose()
