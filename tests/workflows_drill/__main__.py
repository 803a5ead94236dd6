"""The command behind `make drill-workflows`."""

from __future__ import annotations

import argparse
import sys

from taskyard.store import migrate
from taskyard_dev.home import temporary
from taskyard_dev.servers import servers
from tests.support.verdicts import seed_of, told

from .drill import Drill


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.workflows_drill", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None, help="repeats the choices of a run, as far as time allows")
    wanted = parser.parse_args()
    seed = seed_of(wanted.seed)
    with temporary("workflows") as home, servers(home, port=0) as (postgres, valkey):
        migrate.upgrade(postgres.url())
        verdict = Drill(home, postgres.url(), valkey.database_url(1), seed=seed).run(minutes=wanted.minutes)
    return told(verdict, otherwise="nobody died between an effect and its end, or in a fire")


if __name__ == "__main__":
    sys.exit(main())
