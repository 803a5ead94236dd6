"""examples/fastapi, examples/flask, examples/django: applications whose tests run against a stack."""

from __future__ import annotations

import pytest

from taskyard.testing import Stack
from tests.examples.conftest import Install, RunTests

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("framework", ["fastapi", "flask", "django"])
def test_its_tests_pass_against_a_stack(
    framework: str, install: Install, run_tests: RunTests, taskyard_stack: Stack
) -> None:
    addresses = {"TASKYARD_URL": taskyard_stack.url, "TASKYARD_API_KEY": taskyard_stack.api_key}
    assert "2 passed" in run_tests(install(framework), **addresses)
