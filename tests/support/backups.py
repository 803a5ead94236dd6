"""Backups of a PostgreSQL from the wheel, made and put back by its own programs, as docs/backup.md says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from taskyard_dev.binaries import postgres_programs


def dump(database_url: str, directory: Path) -> None:
    """`roles.sql` and `taskyard.dump`."""
    run("pg_dumpall", database_url, ["--roles-only", "-f", directory / "roles.sql"])
    run("pg_dump", database_url, ["-Fc", "-f", directory / "taskyard.dump"])


def restore(directory: Path, empty_url: str, password: str) -> str:
    """Into an empty database. The roles first, because the dump's grants name them; the role that restores is one of
    them, and has its old password from then on. Returns the address with it."""
    run("psql", empty_url, ["-q", "-f", directory / "roles.sql"])
    restored = sa.make_url(empty_url).set(password=password).render_as_string(hide_password=False)
    run("pg_restore", restored, ["--exit-on-error", directory / "taskyard.dump"])
    return restored


def run(program: str, database_url: str, arguments: Sequence[str | Path]) -> None:
    url = sa.make_url(database_url)
    address = f"host={url.host} port={url.port} user={url.username} dbname={url.database}"
    _, programs = postgres_programs(None, None)
    done = subprocess.run(
        [programs / program, "-d", address, *arguments],
        env={**os.environ, "PGPASSWORD": str(url.password)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{program}: {done.stderr[-2000:]}"
