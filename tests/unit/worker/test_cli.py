"""`taskyard-worker`: what is wrong is one line, and the exit code says what kind of wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.packages import install


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "taskyard_worker.cli", *arguments],
        env={**{k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}, **environment},
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


COMMANDS = ["run", "types", "run-task", "healthcheck"] + [
    f"inspect {what}" for what in ("active", "registered", "stats", "queues")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_a_log_level(tmp_path: Path, command: str) -> None:
    shown = run(*command.split(), "-h", cwd=tmp_path)
    assert shown.returncode == 0
    assert f"taskyard-worker {command}".replace(" ", "") in "".join(shown.stdout.split())
    assert "--log-level" in shown.stdout
    assert "debug, info, warning" in " ".join(shown.stdout.split())


@pytest.mark.parametrize("command", ["types", "run-task diagnostics.echo {}"])
@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("TASKYARD_TASK_MODULES", "nope", "No module named 'nope'"),
        ("TASKYARD_SECRET_KEYS", "not-a-key", "32 url-safe"),
        ("TASKYARD_WORKER_THREADS", "many", "integer"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_the_variable(
    tmp_path: Path, command: str, variable: str, value: str, word: str
) -> None:
    ended = run(*command.split(), cwd=tmp_path, **{variable: value})
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith(f"taskyard-worker: {variable}: ")
    assert word in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


@pytest.mark.parametrize("storage", ["TASKYARD_STORAGE_DIR", "TASKYARD_STORAGE_URL"])
def test_a_temporary_directory_around_the_storage_is_refused_at_start(tmp_path: Path, storage: str) -> None:
    place = f"{'file://' if storage.endswith('URL') else ''}{tmp_path}/data/storage"
    ended = run("run", cwd=tmp_path, **{storage: place, "TASKYARD_TEMP_DIR": f"{tmp_path}/data"})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("taskyard-worker: TASKYARD_TEMP_DIR: must be apart from the storage")


def test_types_shows_the_kit_of_each(tmp_path: Path) -> None:
    listed = run("types", "--json", cwd=tmp_path, TASKYARD_KITS="mail,health")
    assert {row["name"]: row["kit"] for row in json.loads(listed.stdout)} == {
        "email.send": "mail",
        "email.send_welcome": "mail",
        "email.send_verification": "mail",
        "email.send_password_reset": "mail",
        "email.send_newsletter": "mail",
        "health.check": "health",
        "taskyard.echo": "taskyard",
    }
    assert re.search(r"^health\.check +1 +high_priority +health ", run("types", cwd=tmp_path).stdout, re.MULTILINE)


def test_strict_types_fails_where_a_kit_is_left_out(tmp_path: Path) -> None:
    manifest = "from taskyard import Kit\nKIT = Kit('acme', ('acme_tasks',))\n"
    install(tmp_path, "acme", {"acme": manifest, "acme_tasks": "import no_such_library\n"}, kits={"acme": "acme:KIT"})
    place = {"PYTHONPATH": f"{tmp_path}"}
    for arguments, kits, code in (("types", "acme", 0), ("types --strict", "acme", 1), ("types --strict", "mail", 0)):
        ended = run(*arguments.split(), cwd=tmp_path, TASKYARD_KITS=kits, **place)
        assert (ended.returncode, "kit_left_out" in ended.stderr) == (code, kits == "acme"), ended.stderr


def test_a_task_that_logs_a_secret_shows_it_nowhere(tmp_path: Path) -> None:
    (tmp_path / "talking.py").write_text(
        "import logging\n"
        "from taskyard import Secret, task\n"
        "@task('mine.talk')\n"
        "def talk(token: Secret[str]):\n"
        "    logging.getLogger('mine').warning('with %s', token.reveal())\n"
        "    print('and', token.reveal())\n"
    )
    for more in ([], ["--log-level", "debug"]):
        ended = run(
            "run-task", "mine.talk", '{"token": "hunter2"}', *more, cwd=tmp_path,
            TASKYARD_TASK_MODULES="talking", PYTHONPATH=str(tmp_path),
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert "with ***" in ended.stderr
        assert "hunter2" not in ended.stdout + ended.stderr
