"""A checkout of this project: its commands, run with its own environment against servers of ours.

The measuring code belongs to the checkout it was started from. What is measured belongs to `Checkout.path`, by the
commands of the `.venv` that `make install` made there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import service_environment
from benchmarks.rounds import KEY
from taskyard_dev.servers import Postgres, servers


@dataclass(frozen=True)
class Checkout:
    path: Path

    @classmethod
    def at(cls, path: Path) -> Checkout:
        """Raises ValueError where `path` has no environment, or one that imports another checkout's code."""
        checkout = cls(path.resolve())
        python = checkout.command("python")
        if not Path(python).exists():
            raise ValueError(f"{path} has no .venv: run `make install` there")
        imported = subprocess.run(
            [python, "-P", "-c", "import taskyard; print(taskyard.__path__[0])"],
            env=service_environment(checkout.path, "", "", ""), cwd="/",
            check=True, capture_output=True, text=True, timeout=60,
        ).stdout.strip()  # fmt: skip
        if not Path(imported).resolve().is_relative_to(checkout.path):
            raise ValueError(f"{python} imports {imported}")
        return checkout

    @property
    def commit(self) -> str:
        """The short hash, with a `+` where files differ from it; empty outside of git."""
        git = ["git", "-C", str(self.path), "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, check=False, timeout=30).stdout.strip()

    def command(self, name: str) -> str:
        return str(self.path / ".venv" / "bin" / name)

    @contextmanager
    def stack(self, home: Path) -> Iterator[tuple[Postgres, dict[str, str]]]:
        """New servers, migrated by this checkout, and the environment of its services. No service is started."""
        home.mkdir(mode=0o711)  # PostgreSQL may run as another user
        with servers(home / "servers", postgres_port=0, valkey_port=0) as (postgres, valkey):
            env = service_environment(home, postgres.url(), valkey.url, KEY)
            for arguments in (["migrate"], ["keys", "bootstrap"]):
                subprocess.run(
                    [self.command("taskyard-api"), *arguments],
                    env=env, cwd=home, check=True, stdout=subprocess.DEVNULL, timeout=60,
                )  # fmt: skip
            yield postgres, env
