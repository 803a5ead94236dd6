"""examples/orders: tasks with an async session of their application's own, by its own tests and in a real worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.conftest import Install, RunTests

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def site(install: Install) -> Path:
    return install("orders")


@pytest.mark.long
def test_its_own_tests_pass_with_a_real_postgresql(site: Path, run_tests: RunTests) -> None:
    assert "5 passed" in run_tests(site)
