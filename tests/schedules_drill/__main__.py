"""The command behind `make drill-schedules`."""

from __future__ import annotations

import argparse
import sys

from taskyard.store import migrate
from taskyard_dev.home import temporary
from taskyard_dev.servers import servers
from tests.support.verdicts import seed_of, told

from .drill import drill


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.schedules_drill", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--schedules", type=int, default=10, help="so many are due each second")
    parser.add_argument("--seed", type=int, default=None, help="repeats the points of a run, as far as time allows")
    wanted = parser.parse_args()
    seed = seed_of(wanted.seed)
    with temporary("schedules") as home, servers(home, port=0) as (postgres, valkey):
        migrate.upgrade(postgres.url())
        verdict = drill(
            home,
            postgres.url(),
            valkey.database_url(1),
            minutes=wanted.minutes,
            schedules=wanted.schedules,
            seed=seed,
        )
    return told(verdict, otherwise="nobody who led was killed")


if __name__ == "__main__":
    sys.exit(main())
