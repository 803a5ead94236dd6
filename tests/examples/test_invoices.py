"""examples/invoices: a package of a user's own, by its own tests and in a real worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.conftest import Install, RunTests

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def site(install: Install) -> Path:
    return install("invoices")


@pytest.mark.long
def test_its_own_tests_pass_without_servers(site: Path, run_tests: RunTests) -> None:
    assert "10 passed" in run_tests(site)


def test_it_is_not_in_the_environment_of_the_repository() -> None:
    with pytest.raises(ModuleNotFoundError):
        __import__("invoices")
