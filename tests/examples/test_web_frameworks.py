"""examples/fastapi, examples/flask, examples/django: applications whose tests run against a stack. And the ten
lines of the README, for code that comes from Celery."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from taskyard.testing import Stack
from tests.examples.conftest import Install, RunTests
from tests.support.cases import one_in

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("framework", one_in(3, ["fastapi", "flask", "django"]))
def test_its_tests_pass_against_a_stack(
    framework: str, install: Install, run_tests: RunTests, taskyard_stack: Stack
) -> None:
    addresses = {"TASKYARD_URL": taskyard_stack.url, "TASKYARD_API_KEY": taskyard_stack.api_key}
    assert "2 passed" in run_tests(install(framework), **addresses)


def test_ten_lines_of_the_readme_move_an_application_from_celery(
    taskyard_stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (block,) = [found for found in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "taskyard_client" in found]
    assert len([line for line in block.splitlines() if line]) <= 10
    monkeypatch.setenv("TASKYARD_URL", taskyard_stack.url)
    monkeypatch.setenv("TASKYARD_API_KEY", taskyard_stack.api_key)
    names: dict[str, Any] = {}
    exec(block, names)
    names["client"].close()
    assert "recipient" in capsys.readouterr().out
