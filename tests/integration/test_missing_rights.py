"""Where PostgreSQL refuses an account a right, every command says so in one line and ends with 1."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskyard_dev.postgres import Postgres

ROLE = f"account_without_rights_{os.getpid()}"  # the server is shared by the processes of pytest


@pytest.fixture(scope="module")
def url_without_rights(postgres: Postgres, new_database: Callable[[], str]) -> Iterator[str]:
    url = new_database()
    with postgres.connect("postgres") as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'pw'")
    yield f"postgresql://{ROLE}:pw@127.0.0.1:{postgres.port}/{url.rpartition('/')[2].partition('?')[0]}"
    with postgres.connect("postgres") as connection:
        connection.execute(f"DROP ROLE {ROLE}")


@pytest.mark.parametrize(
    "command",
    [
        "api keys list",
        "api check",
        "scheduler reconcile --dry-run",
        "scheduler dead-letters list",
        "scheduler dead-letters retry --all --dry-run",
        "worker inspect active",
        "worker run --metrics-port 0",
    ],
)
def test_a_missing_right_is_one_line_and_exit_code_one(
    command: str, url_without_rights: str, redis_url: str, tmp_path: Path
) -> None:
    program, *arguments = command.split()
    ended = subprocess.run(
        [sys.executable, "-m", f"taskyard_{program}.cli", *arguments],
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")},
            "TASKYARD_DATABASE_URL": url_without_rights,
            "TASKYARD_REDIS_URL": redis_url,
            "TASKYARD_HEALTH_FILE": str(tmp_path / "alive"),
            "TASKYARD_LOG_LEVEL": "critical",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in (ended.stdout + ended.stderr).splitlines() if "permission denied" in line]
    assert ended.returncode == 1, ended.stderr
    assert len(said) == 1
    assert "PostgreSQL refuses: permission denied" in said[0]
    assert "Traceback" not in ended.stderr
