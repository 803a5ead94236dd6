"""The command behind `make drill-workflows`."""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys

from taskyard.store import migrate
from taskyard_dev.home import temporary
from taskyard_dev.servers import servers

from .drill import Drill


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.workflows_drill", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None, help="repeats the choices of a run, as far as time allows")
    wanted = parser.parse_args()
    seed = random.randrange(2**32) if wanted.seed is None else wanted.seed
    print(f"seed {seed}", flush=True)
    with temporary("workflows") as home, servers(home, port=0) as (postgres, valkey):
        migrate.upgrade(postgres.url())
        verdict = Drill(home, postgres.url(), valkey.database_url(1), seed=seed).run(minutes=wanted.minutes)
    for name, value in dataclasses.asdict(verdict).items():
        print(f"{name.replace('_', ' '):24} {value}")
    if not verdict.says_something:
        print("nobody died between an effect and its end, or in a fire: this says nothing")
    return 0 if verdict.holds and verdict.says_something else 1


if __name__ == "__main__":
    sys.exit(main())
