"""What the command-line programs do where their output takes less than they print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import taskyard.cli
import taskyard_api.cli
import taskyard_console.cli
import taskyard_scheduler.commands
import taskyard_worker.cli
from tests.support.cases import one_in

BIN = Path(sys.executable).parent
PROGRAMS = {
    "taskyard": taskyard.cli,
    "taskyard-api": taskyard_api.cli,
    "taskyard-worker": taskyard_worker.cli,
    "taskyard-scheduler": taskyard_scheduler.commands,
    "taskyard-console": taskyard_console.cli,
}


def commands(group: Any, before: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield before
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*before, name))


EVERY = [
    words for name, module in PROGRAMS.items() for words in commands(typer.main.get_command(module.app), (name,))
] + [("taskyard", "up")]


def run(*words: str, shell: str = '"$@"', **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}
    program = [str(BIN / words[0]), *words[1:]]
    return subprocess.run(
        ["bash", "-c", shell, "bash", *program],
        env=kept | {"TASKYARD_DIAGNOSTICS": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# A start takes a second of the processor: a program is imported once, and forks for each of its commands.
_FORKS = """
import json, os, sys
from importlib import import_module
from importlib.metadata import entry_points

program, module, commands = sys.argv[1:]
import_module(module)
main = entry_points(group="console_scripts")[program].load()
ended = []
for words in json.loads(commands):
    read, write = os.pipe()
    if os.fork() == 0:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
        os.dup2(write, 2)
        os.close(read)
        os.close(write)
        sys.argv = [*words, "--help"]
        sys.exit(main())
    os.close(write)
    with os.fdopen(read) as errors:
        said = errors.read()
    ended.append((words, os.waitstatus_to_exitcode(os.wait()[1]), said))
print(json.dumps(ended))
"""


@pytest.mark.parametrize("program", PROGRAMS)
def test_output_that_cannot_be_written_is_told_in_one_line(program: str) -> None:
    own = [words for words in EVERY if words[0] == program]
    ended = run("python", "-c", _FORKS, program, PROGRAMS[program].__name__, json.dumps(own))
    told = f"{program}: the output cannot be written: No space left on device\n"
    assert json.loads(ended.stdout) == [[list(words), 1, told] for words in own], ended.stderr


SAYS_MUCH = [("taskyard-api", "openapi"), ("taskyard-worker", "types", "--json"), ("taskyard-worker", "types")]


@pytest.mark.parametrize("words", one_in(3, zip(SAYS_MUCH, strict=True)), ids=" ".join)
@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ('"$@" > /dev/full', 1),
        ('"$@" 2> /dev/full > /dev/full', 1),
        ('"$@" >&-', 0),
        ('"$@" < /dev/null >&- 2>&-', 0),
        ('(sleep 0.1; exec "$@") | true; exit ${PIPESTATUS[0]}', 1),
    ],
)
def test_a_reader_that_is_gone_is_no_traceback(words: tuple[str, ...], shell: str, code: int) -> None:
    ended = run(*words, shell=shell)
    assert ended.returncode == code
    assert len(ended.stderr.splitlines()) <= 1, ended.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp1252:strict", "utf-16"])
def test_json_stays_json_in_every_encoding_of_the_output(encoding: str) -> None:
    """A description may hold what a terminal's encoding lacks."""
    program = "from taskyard.commands import print_json; from taskyard.output import run_program;"
    code = f"{program} run_program('x', lambda: print_json({{'value': 'ű é 😀 € \\ud7ff'}}))"
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, b"")
    # Typer takes ASCII for a mistake of the environment, and writes UTF-8.
    written = "utf-8" if encoding == "ascii" else encoding.partition(":")[0]
    assert json.loads(ended.stdout.decode(written)) == {"value": "ű é 😀 € \ud7ff"}


@pytest.mark.parametrize("columns", one_in(3, ["0", "1", "abc", "-1", "1000000"]))
def test_a_width_of_any_kind_is_no_traceback(columns: str) -> None:
    for words in [("taskyard", "tasks", "submit", "--help"), ("taskyard-worker", "types")]:
        ended = run(*words, COLUMNS=columns)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout


def test_an_exit_code_does_not_depend_on_what_can_be_said() -> None:
    for shell in ('"$@"', '"$@" 2> /dev/full', '"$@" 2>&-'):
        assert (
            run(
                "taskyard", "tasks", "cancel", str(9 * 10**31), shell=shell, TASKYARD_URL="http://127.0.0.1:1"
            ).returncode
            == 3
        )
