"""`python -m tests.chaos --minutes 2 --seed 7`: 0 where nothing was lost and nothing ended wrong, else 1."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from taskyard.store import migrate
from taskyard_dev.servers import servers
from tests.support.fleet import KEY

from .disk import SmallDisk, enter_namespace
from .faults import Faults, longest_recoveries
from .load import Load
from .plant import Plant
from .report import tables
from .verdict import Verdict, Watch, settle


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=None, help="of all that is random; a new one where none is given")
    parser.add_argument("--rate", type=float, default=12.0, help="tasks a second")
    parser.add_argument("--settle", type=float, default=120.0, help="seconds in which all must be final afterwards")
    parser.add_argument("--keep", action="store_true", help="leave the logs where they are")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    enter_namespace()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"chaos for {options.minutes:g} minutes; --seed {seed} repeats the order of the faults", flush=True)
    home = Path(tempfile.mkdtemp(prefix="taskyard-chaos-"))
    home.chmod(0o711)
    disk = SmallDisk(home / "storage")
    good = False
    try:
        with servers(home, port=0) as (postgres, valkey):
            migrate.upgrade(postgres.url())
            with Plant(home, postgres, valkey, disk.path) as plant:
                good = run(plant, disk, options, random.Random(seed))
    finally:
        disk.close()
        if good and not options.keep:
            shutil.rmtree(home)
        else:
            print(f"the logs are in {home}", flush=True)
    return 0 if good else 1


def run(plant: Plant, disk: SmallDisk, options: argparse.Namespace, rng: random.Random) -> bool:
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {what}", flush=True)

    faults = Faults(plant, disk, random.Random(rng.random()), say)
    if not disk.is_mounted:
        say("nothing can be mounted here: the full disk is left out")
    url = f"http://127.0.0.1:{plant.fleet.port}/api/v1"
    load = Load(url, {"Authorization": f"Bearer {KEY}"}, per_second=options.rate, rng=random.Random(rng.random()))
    watch = Watch(plant)
    with watch.watching():
        load.start()
        faults.inject(began + options.minutes * 60)
        faults.undo()
        say("no more faults")
        load.stop()
    verdict = settle(plant, load.accepted, within=options.settle, watch=watch)
    verdict.wrong += [f"refused: {answer}" for answer in load.refused]
    verdict.wrong += ["a submit was not answered within two minutes"] * load.unanswered
    for line in tables(faults, longest_recoveries(plant, faults.journal.deaths), verdict, load, plant):
        print(line)
    say("the longest time without an accepted submit began at {1:.1f} s and took {0:.1f} s".format(*load.longest_pause))
    report(verdict)
    return verdict.is_good


def report(verdict: Verdict) -> None:
    for task_id in verdict.lost[:20]:
        print(f"lost: {task_id}")
    for words in verdict.wrong[:20]:
        print(f"wrong: {words}")
    print("nothing was lost" if verdict.is_good else "NOT GOOD", flush=True)


if __name__ == "__main__":
    sys.exit(main())
