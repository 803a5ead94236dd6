"""Checks on a real, empty database that the migrations lead to the tables that the code declares.

`python -m taskyard_dev.check_migrations` starts a server for it, unless TASKYARD_DATABASE_URL names an empty database.
"""

import os
import sys

from alembic import command
from alembic.util.exc import CommandError

from taskyard.store import migrate
from taskyard_dev import home
from taskyard_dev.postgres import Postgres


def check(database_url: str) -> str | None:
    """Upgrade to the newest revision and compare; returns the difference, or `None`."""
    migrate.upgrade(database_url)
    try:
        command.check(migrate.config(database_url))
    except CommandError as error:
        return str(error)
    return None


def main() -> int:
    given = os.environ.get("TASKYARD_DATABASE_URL")
    if given:
        wrong = check(given)
    else:
        with home.temporary("check") as directory, Postgres(directory / "postgres", port=0) as postgres:
            wrong = check(postgres.url())
    if wrong is not None:
        sys.stderr.write(f"migrations and tables differ: {wrong}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
