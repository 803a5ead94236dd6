"""The packages in examples/, installed as `pip install` does it, into directories beside the environment: in it, every
worker would load their kits."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

Install = Callable[[str], Path]
RunTests = Callable[..., str]


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Returns the directory that holds the installed package, for PYTHONPATH."""

    def to(name: str) -> Path:
        place = tmp_path_factory.mktemp(f"{name}-")
        # A build leaves files beside its sources.
        shutil.copytree(EXAMPLES / name, place / "source", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps",
            "--no-build-isolation", "--target", str(place / "site"), str(place / "source"),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        return place / "site"

    return to


@pytest.fixture(scope="session")
def run_tests() -> RunTests:
    """Runs an example's own tests in a process of their own; returns what pytest said."""

    def run(site: Path, *options: str, **variables: str) -> str:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TASKYARD_", "PYTEST_"))}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:valkey", *options],
            cwd=site.parent / "source",
            env={**inherited, "PYTHONPATH": str(site), **variables},
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
