"""The packages in examples/, installed as `pip install` does it, into directories beside the environment: in it, every
worker would load their kits."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
_PIP_OPTIONS = ("--quiet", "--disable-pip-version-check")
_INSTALL_OPTIONS = ("--no-index", "--no-deps", "--no-build-isolation")

Install = Callable[[str], Path]
RunTests = Callable[..., str]


def _copy(name: str, to: Path) -> Path:
    """A build leaves files beside its sources."""
    shutil.copytree(EXAMPLES / name, to, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return to


def _run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Returns the directory that holds the installed package, for PYTHONPATH."""

    def to(name: str) -> Path:
        place = tmp_path_factory.mktemp(f"{name}-")
        source = _copy(name, place / "source")
        _run(
            sys.executable, "-m", "pip", "install", *_PIP_OPTIONS, *_INSTALL_OPTIONS, "--target", place / "site", source
        )
        return place / "site"

    return to


class WorkerEnvironment:
    """A virtual environment for workers alone. It sees what is installed in the repository's; packages are installed in
    it and uninstalled from it by pip."""

    def __init__(self, home: Path) -> None:
        self._home = home
        venv.create(home / "venv")
        self._python = home / "venv/bin/python"
        self.program = home / "venv/bin/taskyard-worker"
        self.program.write_text(f"#!{self._python}\nfrom taskyard_worker.cli import main\n\nmain()\n")
        self.program.chmod(0o755)
        (site,) = (home / "venv").glob("lib/python*/site-packages")
        ours = sysconfig.get_path("purelib")
        (site / "repository.pth").write_text(f"import site; site.addsitedir({ours!r})\n")

    def install(self, name: str) -> None:
        source = self._home / name
        if not source.exists():
            _copy(name, source)
        self._pip("install", *_INSTALL_OPTIONS, source)

    def uninstall(self, distribution: str) -> None:
        self._pip("uninstall", "--yes", distribution)

    def _pip(self, verb: str, *arguments: str | Path) -> None:
        _run(self._python, "-m", "pip", verb, *_PIP_OPTIONS, *arguments)


@pytest.fixture
def worker_environment(tmp_path: Path) -> WorkerEnvironment:
    return WorkerEnvironment(tmp_path)


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
