"""Links between documents lead somewhere, and the commands of the runbooks exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import taskyard.cli
import taskyard_api.cli
import taskyard_scheduler.commands
import taskyard_worker.cli
from tests.support.docs import DOCS

PAGES = sorted(path for path in DOCS.rglob("*.md") if "decisions" not in path.parts)
# Typer brings a click of its own.
PROGRAMS: dict[str, Any] = {
    "taskyard": typer.main.get_command(taskyard.cli.app),
    "taskyard-api": typer.main.get_command(taskyard_api.cli.app),
    "taskyard-worker": typer.main.get_command(taskyard_worker.cli.app),
    "taskyard-scheduler": typer.main.get_command(taskyard_scheduler.commands.app),
}
# Written about before it is there.
NOT_YET = {"taskyard has no command doctor"}
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
_FENCE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target, anchor in _LINK.findall(_FENCE.sub("", path.read_text("utf-8"))):
        file = (path.parent / target) if target else path
        assert file.exists(), f"{path.name} links to {target}, which is not there"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{path.name} links to #{anchor} of {file.name}, which has no such heading"


def commands(path: Path) -> Iterator[str]:
    """The lines of a page that call one of our programs, without what follows a pipe or a comment."""
    text = path.read_text("utf-8")
    found = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    found += re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))
    for line in found:
        bare = re.sub(r"^(?:run|docker compose exec(?: -T)?) [\w-]+ ", "", line.strip())
        if re.match(r"taskyard(-api|-worker|-scheduler)? [a-z]", bare):
            yield re.split(r" [|#;]|; ", bare)[0]


def wrong(line: str) -> str | None:
    """What is wrong with a call of one of our programs; None: nothing."""
    program, *rest = shlex.split(line)
    command = PROGRAMS[program]
    while hasattr(command, "commands") and rest:
        name = rest.pop(0)
        if name not in command.commands:
            return f"{program} has no command {name}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    missing = {word.partition("=")[0] for word in rest if word.startswith("--")} - known - {"--help"}
    return f"{line!r}: there is no {', '.join(sorted(missing))}" if missing else None


@pytest.mark.parametrize(
    "path", [*sorted((DOCS / "runbooks").glob("*.md")), DOCS / "monitoring.md"], ids=lambda path: path.stem
)
def test_the_commands_of_a_page_exist(path: Path) -> None:
    assert [found for line in commands(path) if (found := wrong(line)) and found not in NOT_YET] == []


def test_a_command_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Do `taskyard-worker inspect everything`.\n\n```sh\ntaskyard-scheduler dead-letters list --nme a | head\n```\n"
    )
    assert {wrong(line) for line in commands(page)} == {
        "taskyard-worker has no command everything",
        "'taskyard-scheduler dead-letters list --nme a': there is no --nme",
    }
