"""The command behind `make kills`."""

from __future__ import annotations

import argparse
import sys

from taskyard.store import migrate
from taskyard_dev.home import temporary
from taskyard_dev.servers import servers
from tests.support.verdicts import seed_of, told

from .proof import prove


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None, help="repeats the points of a run, as far as time allows")
    wanted = parser.parse_args()
    seed = seed_of(wanted.seed)
    with temporary("kills") as home, servers(home, port=0) as (postgres, valkey):
        migrate.upgrade(postgres.url())
        verdict = prove(postgres.url(), valkey.database_url(1), kills=wanted.kills, seed=seed)
    return told(verdict, otherwise="no kill, or every kill, came before its commit was durable")


if __name__ == "__main__":
    sys.exit(main())
