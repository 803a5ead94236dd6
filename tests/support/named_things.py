"""What a page of docs/ names in backticks, and what there is: tests, task types, calls, commands, settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from taskyard.catalogue.kits import load
from taskyard.settings import Settings
from taskyard_api.app import ROUTES
from tests.support.docs import DOCS

TESTS = DOCS.parent / "tests"
_QUOTED = re.compile(r"`([^`]+)`")
_TEST = re.compile(r"([\w/]+\.py)::(test_\w+)")
_CALL = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/[\w/{}.-]+)")
_TYPE = re.compile(r"[a-z]+\.[a-z_]+")
_SETTING = re.compile(r"(?:TASKYARD|CELERY|REDIS|OLLAMA|LITELLM|STRIPE|FILE|TASK|TEMP|APP|LOG)_[A-Z_]+")
# Not the user, the database, the namespace or the image of that name.
_COMMAND = re.compile(
    r"(?<![\w/.-])(?<!-U )(?<!-d )(?<!-n )(?<!--entrypoint )"
    r"taskyard(?:-api|-worker|-scheduler)? [a-z][^|#;)\n>'\"]*"
)
# Not what rules record, between colons.
_METRIC = re.compile(r"(?<![\w/:])taskyard_((?!build_info\b|task\b|sql|dev|kits|client|counts)[a-z_]+)")
# What a line of shell looks for in the log of a service: words, without JSON around them.
_GREP = re.compile(r"\blogs [^|\n]*\| grep (?:-E )?'?([a-z_|]+)'?(?=[ |`\n])")
# Also those that a variable or a call carries to the line that logs them.
_LOGGED = re.compile(r"(?:\blog\.\w+\(\s*|\b_tell\(logging\.\w+, |\._rest\(|\bevent, level = )\"(\w+)\"")
_PROGRAMS = {
    "taskyard": "taskyard.cli",
    "taskyard-api": "taskyard_api.cli",
    "taskyard-worker": "taskyard_worker.cli",
    "taskyard-scheduler": "taskyard_scheduler.commands",
}


def rows(page: str) -> list[tuple[str, list[str]]]:
    """The rows of a page's tables behind their heads, each with the heading that it stands below."""
    found, heading, head = [], "", True
    for line in (DOCS / page).read_text("utf-8").splitlines():
        if line.startswith("## "):
            heading = line[3:]
        if not line.startswith("|"):
            head = True
        elif set(line) <= set("|- "):
            head = False
        elif not head:
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.append((heading, cells))
    return found


def quoted(text: str) -> list[str]:
    return _QUOTED.findall(text)


def tests_in(text: str) -> list[tuple[str, str]]:
    """File, relative to tests/, and name."""
    return _TEST.findall(text)


def prose(text: str) -> Iterator[str]:
    """The lines outside of blocks of code."""
    inside = False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            yield line


def commands_in(text: str) -> list[str]:
    """Ours in blocks of code, up to what a shell reads as something else."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    found = _COMMAND.findall(blocks)
    return [command.strip() for command in found]


def missing_metrics(text: str) -> list[str]:
    """Names of metrics that no service declares."""
    named = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in _METRIC.findall(text)}
    return sorted(name for name in named if not re.search(rf"\"{name}(_total)?\"", _sources()))


def missing_log_events(text: str) -> list[str]:
    """What commands of `text` look for in logs, and no service writes."""
    looked_for = {word for words in _GREP.findall(text) for word in words.split("|")}
    return sorted(looked_for - set(_LOGGED.findall(_sources())))


def missing_tests(text: str) -> Iterator[str]:
    for file, name in tests_in(text):
        if not re.search(rf"^ *(async )?def {name}\b", _text(TESTS / file), re.MULTILINE):
            yield f"{file}::{name}"


def missing_things(text: str) -> Iterator[str]:
    """What `text` names in backticks as a call, a command, a task type or a setting, and there is not."""
    for thing in quoted(text):
        call, words = _CALL.fullmatch(thing.split("?")[0]), thing.split()
        if call is not None:
            if (call[1].lower(), _without_names(call[2])) not in calls():
                yield thing
        elif words[0] in _PROGRAMS:
            yield from _missing_of_command(thing, words)
        elif _TYPE.fullmatch(thing) and thing.partition(".")[0] in {name.partition(".")[0] for name in types()}:
            if thing not in types() and not _is_module_of_ours(thing):
                yield thing
        else:
            yield from (name for name in _SETTING.findall(thing.partition("=")[0]) if name not in settings())


def _missing_of_command(thing: str, words: list[str]) -> Iterator[str]:
    command: Any = _program(words[0])
    for word in words[1:]:
        if word.startswith("--"):
            if word != "--help" and not any(word in option.opts for option in command.params):
                yield thing
        elif commands := getattr(command, "commands", {}):
            if word not in commands:
                yield thing
                return
            command = commands[word]


@cache
def _program(name: str) -> Any:
    return typer.main.get_command(import_module(_PROGRAMS[name]).app)


@cache
def calls() -> frozenset[tuple[str, str]]:
    found = {
        (name.removeprefix("on_"), _without_names(path.removeprefix("/api/v1")))
        for path, resource in ROUTES.items()
        for name in dir(resource)
        if name.startswith("on_")
    }
    # Served by a port of its own, and beside the resources.
    return frozenset(found | {("get", "/metrics"), ("get", "/docs"), ("get", "/openapi.json")})


@cache
def types() -> frozenset[str]:
    return frozenset(task_type.name for task_type in load(Settings(diagnostics=True)).catalogue)


@cache
def settings() -> frozenset[str]:
    page = _text(DOCS / "configuration.md")
    return frozenset(
        name for line in page.splitlines() if line.startswith("| `") for name in quoted(line.split("|")[1])
    )


@cache
def _sources() -> str:
    root = DOCS.parent
    return "".join(_text(path) for part in ("shared", "services") for path in (root / part).rglob("*.py"))


def _is_module_of_ours(name: str) -> bool:
    """`taskyard.testing` is no task type, though the platform's own types begin as it does."""
    path = DOCS.parent / "shared" / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def _without_names(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


@cache
def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""
