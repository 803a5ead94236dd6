"""The ways through the code that docs/architecture.md draws are there, under the names that it gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.test_modules import PACKAGES
from tests.support.docs import DOCS

# `Class.method`, `function` or `one -> another`, and the module it stands in.
_STEP = re.compile(r"^ *([\w.]+)(?: -> [\w.]+)? +((taskyard\w*)/[\w/]+\.py)", re.MULTILINE)


def steps() -> list[tuple[str, Path]]:
    text = (DOCS / "architecture.md").read_text("utf-8")
    return [(name, PACKAGES[package] / path) for name, path, package in _STEP.findall(text)]


def test_both_ways_are_drawn() -> None:
    names = {name for name, _ in steps()}
    assert {"Tasks.on_post", "submit", "commit", "TaskConsumer.next_message", "claim", "finish"} <= names


@pytest.mark.parametrize(("name", "path"), steps(), ids=lambda value: str(getattr(value, "name", value)))
def test_a_step_of_a_way_is_where_the_page_says(name: str, path: Path) -> None:
    text = path.read_text("utf-8")
    owner, _, function = name.rpartition(".")
    # A module's own function may be named with the module before it.
    if owner and owner != path.stem:
        assert re.search(rf"^class {owner}\b", text, re.MULTILINE)
    assert re.search(rf"^ *(async )?def {function}\b", text, re.MULTILINE)


_NAMED_TEST = re.compile(r"`(test_\w+?)(\.py)?`")
_TEST_FILE = re.compile(r"`((?:e2e|integration|unit|kits|architecture)/[\w/]+\.py)`")
TESTS = DOCS.parent / "tests"


@pytest.mark.parametrize("page", ["security.md", "reliability.md"])
def test_the_tests_that_a_page_names_exist(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    files = list(TESTS.rglob("test_*.py"))
    modules = {file.name for file in files}
    functions = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))}
    named = _NAMED_TEST.findall(text)
    missing = [
        name + suffix for name, suffix in named if (f"{name}.py" not in modules if suffix else name not in functions)
    ]
    missing += [path for path in _TEST_FILE.findall(text) if not (TESTS / path).exists()]
    assert missing == []
    assert named or _TEST_FILE.search(text)
