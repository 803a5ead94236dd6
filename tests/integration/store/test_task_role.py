"""The role of tasks: what PostgreSQL refuses it, which roles are refused, what `taskyard-api migrate` does for it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from taskyard.domain.errors import TaskError
from taskyard.domain.ids import new_id
from taskyard.store import ledger, migrate, task_role_grants, tree_items
from taskyard.store.sqlstates import NOT_ALLOWED, sqlstate
from taskyard.store.tables import LEDGER_TABLES
from taskyard.store.task_role import refuse_powerful
from taskyard.store.task_role_grants import RoleUnusable
from taskyard.store.tree_items import TreeItem
from taskyard_dev.postgres import Postgres

_NUMBER = itertools.count()


@pytest.fixture
def tasks(task_url: str) -> Iterator[Engine]:
    engine = ledger.make_engine(task_url)
    refuse_powerful(engine)
    yield engine
    engine.dispose()


class Server:
    """Makes roles and databases, gone at the end of the test. The server is shared by the processes of pytest."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.roles: list[str] = []
        self.databases: list[str] = []

    def name(self) -> str:
        return f"role_{os.getpid()}_{next(_NUMBER)}"

    def role(self, options: str = "") -> str:
        """One that can log in."""
        role = self.expect(self.name())
        self.run(f"CREATE ROLE {role} LOGIN PASSWORD 'pw' {options}")
        return role

    def expect(self, role: str) -> str:
        """A role that is made by what is tested."""
        self.roles.append(role)
        return role

    def database(self, owner: str | None = None) -> str:
        """An address; with an owner, that one's."""
        name = self.name()
        self.databases.append(name)
        url = self.postgres.create_database(name)
        if owner is None:
            return url
        self.run(f"ALTER DATABASE {name} OWNER TO {owner}")
        return login(url, owner)

    def run(self, statement: str, url: str | None = None) -> None:
        database = "postgres" if url is None else str(sa.make_url(url).database)
        with self.postgres.connect(database) as connection:
            connection.execute(statement.encode())

    def clear(self) -> None:
        for database in self.databases:
            self.postgres.drop_database(database)
        with self.postgres.connect("postgres") as connection:
            for role in reversed(self.roles):
                if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                    connection.execute(f"DROP OWNED BY {role}".encode())
                    connection.execute(f"DROP ROLE {role}".encode())


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Server]:
    made = Server(postgres)
    yield made
    made.clear()


def login(url: str, role: str) -> str:
    return sa.make_url(url).set(username=role, password="pw").render_as_string(hide_password=False)


def refused(engine: Engine, statement: str) -> bool:
    """Whether PostgreSQL refuses it for want of a privilege."""
    try:
        with ledger.transaction(engine) as conn:
            conn.execute(sa.text("RESET ROLE"))
            conn.execute(sa.text("RESET SESSION AUTHORIZATION"))
            conn.execute(sa.text(statement))
    except DBAPIError as e:
        return sqlstate(e) == NOT_ALLOWED
    return False


@pytest.mark.parametrize("table", LEDGER_TABLES)
def test_the_server_refuses_tasks_every_table_of_the_ledger(tasks: Engine, table: str) -> None:
    for statement in (
        f"SELECT FROM {table}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
        f"INSERT INTO {table} DEFAULT VALUES",
        f"DROP TABLE {table}",
        f"ALTER TABLE {table} ADD COLUMN more text",
        f"CREATE TRIGGER mine BEFORE UPDATE ON {table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ):
        assert refused(tasks, statement), statement


def test_the_server_refuses_tasks_to_change_a_state_and_to_become_another_role(tasks: Engine) -> None:
    for statement in (
        "UPDATE task SET state = 'succeeded'",
        "SET ROLE taskyard",
        "SET SESSION AUTHORIZATION taskyard",
        "CREATE FUNCTION public.now() RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "GRANT SELECT ON task TO taskyard_task",
    ):
        assert refused(tasks, statement), statement


def test_tasks_read_write_and_lock_the_tables_of_our_kits(tasks: Engine) -> None:
    item = TreeItem(id=new_id(), name="a", content_type="b", size=1, sha256="c", storage_key="d", task_id=new_id())
    with ledger.transaction(tasks) as conn:
        assert [made.id for made in tree_items.insert(conn, [item])] == [item.id]
        assert tree_items.lock(conn, item.id) is not None
        assert item.task_id is not None
        assert [made.id for made in tree_items.made_by(conn, item.task_id)] == [item.id]
        assert [gone.id for gone in tree_items.delete(conn, [item.id])] == [item.id]


def test_tasks_own_the_tables_that_they_make_even_one_that_is_named_like_the_ledgers(tasks: Engine) -> None:
    with ledger.transaction(tasks) as conn:
        conn.execute(sa.text("CREATE TABLE task (id int)"))
        conn.execute(sa.text("CREATE TABLE alembic_version (version_num text)"))
    tasks.dispose()
    with ledger.transaction(tasks) as conn:  # on a new connection, which is checked
        conn.execute(sa.text("INSERT INTO task VALUES (1)"))
        assert conn.execute(sa.text("SELECT count(*) FROM taskyard_task.task")).scalar() == 1
        conn.execute(sa.text("DROP TABLE task, alembic_version"))


POWERS: dict[str, tuple[str, str, str]] = {
    # what the role is made with, what it is granted, what is named
    "superuser": ("SUPERUSER", "", "SUPERUSER"),
    "makes roles": ("CREATEROLE", "", "CREATEROLE"),
    "streams the log of writes": ("REPLICATION", "", "REPLICATION"),
    "member": ("NOINHERIT", "GRANT taskyard TO {role}", "SUPERUSER"),
    "reads everything": ("", "GRANT pg_read_all_data TO {role}", "SELECT ON "),
    "runs programs": ("", "GRANT pg_execute_server_program TO {role}", "pg_execute_server_program"),
    "owns a table": ("", "ALTER TABLE outbox OWNER TO {role}", "OWNER OF outbox"),
    "owns the database": ("", "ALTER DATABASE {database} OWNER TO {role}", "OWNER OF SCHEMA public"),
    "makes functions": ("", "GRANT CREATE ON SCHEMA public TO {role}", "CREATE ON SCHEMA public"),
    "reads": ("", "GRANT SELECT ON task TO {role}", "SELECT ON task"),
    "changes a column": ("", "GRANT UPDATE (state) ON task TO {role}", "UPDATE ON task"),
    "deletes": ("", "GRANT DELETE ON task_attempt TO {role}", "DELETE ON task_attempt"),
    "empties": ("", "GRANT TRUNCATE ON worker TO {role}", "TRUNCATE ON worker"),
    "sets the revision": ("", "GRANT UPDATE ON alembic_version TO {role}", "UPDATE ON alembic_version"),
    "everybody may": ("", "GRANT SELECT ON task TO PUBLIC", "SELECT ON task"),
}


@pytest.mark.parametrize("power", POWERS)
def test_a_role_that_could_touch_the_ledger_is_refused_on_connecting_and_by_migrate(
    power: str, server: Server, new_database: Callable[[], str]
) -> None:
    made_with, grant, named = POWERS[power]
    url, role = server.database(), server.role(made_with)
    migrate.upgrade(url)
    if grant:
        server.run(grant.format(role=role, database=sa.make_url(url).database), url)
    engine = ledger.make_engine(login(url, role))
    refuse_powerful(engine)
    for _ in range(2):  # a refused connection is not kept
        with pytest.raises(TaskError) as caught, ledger.transaction(engine):
            pass
        assert (caught.value.code, caught.value.retryable) == ("task_role_too_powerful", False)
        assert caught.value.values["role"] == role
        assert caught.value.values["right"].startswith(named)
    engine.dispose()
    with pytest.raises(RoleUnusable, match=rf"the role {role} .* could touch the ledger's tables: it has {named}"):
        task_role_grants.prepare(url, login(url, role))


def test_the_ledgers_own_role_is_refused_behind_a_set_role(server: Server) -> None:
    url, harmless = server.database(), server.role()
    migrate.upgrade(url)
    server.run(f"ALTER ROLE taskyard IN DATABASE {sa.make_url(url).database} SET role = {harmless}")
    engine = ledger.make_engine(url)
    with ledger.connection(engine) as conn:
        assert conn.execute(sa.text("SELECT current_user")).scalar() == harmless
    engine.dispose()
    refuse_powerful(engine)
    with pytest.raises(TaskError, match="task_role_too_powerful"), ledger.transaction(engine):
        pass
    engine.dispose()


# taskyard-api migrate


def run_migrate(database_url: str, task_url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "taskyard_api.cli", "migrate"],
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")},
            "TASKYARD_DATABASE_URL": database_url,
            "TASKYARD_TASK_DATABASE_URL": task_url,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def works(url: str) -> bool:
    """Whether tasks can use a kit's table and one of their own there, and nothing else."""
    engine = ledger.make_engine(url, pool_size=1)
    refuse_powerful(engine)
    try:
        with ledger.transaction(engine) as conn:
            conn.execute(sa.text("SELECT FROM tree_item FOR UPDATE"))
            conn.execute(sa.text("CREATE TABLE own (id int)"))
            conn.execute(sa.text("DROP TABLE own"))
        return refused(engine, "SELECT FROM task")
    finally:
        engine.dispose()


def test_migrate_makes_the_role_and_may_be_repeated(server: Server) -> None:
    url = server.database()
    as_tasks = login(url, server.expect(server.name()))
    for _ in range(2):
        ended = run_migrate(url, as_tasks)
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
        assert works(as_tasks)


def test_an_account_that_may_make_roles_needs_no_superuser(server: Server) -> None:
    owner = server.role("CREATEROLE")
    url = server.database(owner)
    as_tasks = login(url, server.expect(server.name()))
    for _ in range(2):
        ended = run_migrate(url, as_tasks)
        assert ended.returncode == 0, ended.stderr
        assert works(as_tasks)


def test_migrate_says_what_to_run_where_it_may_not_make_roles(server: Server) -> None:
    owner = server.role()
    url = server.database(owner)
    role = server.expect(server.name())
    ended = run_migrate(url, login(url, role))
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert f"CREATE ROLE \"{role}\" LOGIN PASSWORD '...';" in ended.stderr
    assert "pw" not in ended.stderr
    # An administrator runs exactly that.
    statements = ended.stderr.partition(f"in the database {sa.make_url(url).database}: ")[2]
    server.run(statements.replace("'...'", "'pw'"), url)
    ended = run_migrate(url, login(url, role))
    assert ended.returncode == 0, ended.stderr
    assert works(login(url, role))


def test_migrate_names_only_what_it_may_not_grant(server: Server) -> None:
    owner, role = server.role(), server.role()
    url = server.database(owner)
    ended = run_migrate(url, login(url, role))
    assert ended.returncode == 1
    assert f'CREATE SCHEMA IF NOT EXISTS "{role}" AUTHORIZATION "{role}";' in ended.stderr
    assert "GRANT" not in ended.stderr


def test_two_databases_of_one_server_may_be_prepared_at_once(server: Server) -> None:
    role, urls = server.expect(server.name()), [server.database(), server.database()]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "taskyard_api.cli", "migrate"],
            env={**os.environ, "TASKYARD_DATABASE_URL": url, "TASKYARD_TASK_DATABASE_URL": login(url, role)},
            stdout=subprocess.DEVNULL,
        )
        for url in urls
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert all(works(login(url, role)) for url in urls)


def test_the_password_of_a_new_role_reaches_the_server_hashed(server: Server, new_database: Callable[[], str]) -> None:
    url, role = new_database(), server.expect(server.name())
    seen: list[str] = []

    def note(conn: object, cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    sa.event.listen(Engine, "before_cursor_execute", note)
    try:
        task_role_grants.prepare(url, login(url, role))
    finally:
        sa.event.remove(Engine, "before_cursor_execute", note)
    (creation,) = [statement for statement in seen if "CREATE ROLE" in statement]
    assert "SCRAM-SHA-256$" in creation
    assert "'pw'" not in creation
    server.run(f"DROP OWNED BY {role}", url)
