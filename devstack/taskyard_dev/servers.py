"""The pair of servers: start both, stop both.

`python -m taskyard_dev.servers --data-dir DIRECTORY` runs them alone until Ctrl-C.
"""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taskyard_dev.postgres import Postgres
from taskyard_dev.valkey import Valkey

__all__ = ["Endpoints", "Postgres", "Valkey", "servers"]


@dataclass(frozen=True)
class Endpoints:
    """What a client needs to know."""

    database_url: str
    redis_url: str


@contextmanager
def servers(
    data_dir: Path, *, postgres_port: int | None = None, valkey_port: int | None = None
) -> Iterator[tuple[Postgres, Valkey]]:
    """PostgreSQL and Valkey with their data under `data_dir`, stopped cleanly at the end.

    Ports: `None` takes last time's, the usual or a free one; `0` any free one.
    """
    with (
        Valkey(data_dir / "valkey", port=valkey_port) as valkey,
        Postgres(data_dir / "postgres", port=postgres_port) as postgres,
    ):
        yield postgres, valkey


def endpoints(postgres: Postgres, valkey: Valkey) -> Endpoints:
    return Endpoints(postgres.url(), valkey.url)


def main() -> None:
    parser = argparse.ArgumentParser(prog="taskyard_dev.servers", description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path(".taskyard"))
    options = parser.parse_args()
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with servers(options.data_dir) as (postgres, valkey):
        sys.stdout.write(f"TASKYARD_DATABASE_URL={postgres.url()}\nTASKYARD_REDIS_URL={valkey.url}\n")
        sys.stdout.flush()
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
