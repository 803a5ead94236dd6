"""The pair of servers.

`python -m taskyard_dev.servers --data-dir DIRECTORY` runs them alone until Ctrl-C.
"""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskyard.environment import env_file
from taskyard_dev.postgres import Postgres
from taskyard_dev.valkey import Valkey

__all__ = ["Postgres", "Valkey", "servers"]


@contextmanager
def servers(data_dir: Path, *, port: int | None = None) -> Iterator[tuple[Postgres, Valkey]]:
    """PostgreSQL and Valkey with their data under `data_dir`, stopped cleanly at the end.

    `port`, of each: `None` takes that of the previous run, the usual or a free one; `0` any free one.
    """
    with Valkey(data_dir / "valkey", port=port) as valkey, Postgres(data_dir / "postgres", port=port) as postgres:
        yield postgres, valkey


def main() -> None:
    parser = argparse.ArgumentParser(prog="taskyard_dev.servers", description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path(".taskyard"))
    options = parser.parse_args()
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with servers(options.data_dir) as (postgres, valkey):
        sys.stdout.write(env_file({"TASKYARD_DATABASE_URL": postgres.url(), "TASKYARD_REDIS_URL": valkey.url}))
        sys.stdout.flush()
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
