"""`python -m tests.fuzz --minutes 2 --seed 7`: 0 where every promise was kept, else 1."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from taskyard.store import migrate
from taskyard_dev.servers import servers
from taskyard_dev.smtp_sink import smtp_sink
from tests.support.fleet import Fleet
from tests.support.task_role import prepare

from .attacks import Attacks
from .described import Described
from .stand import Stand
from .verdict import judge, settle

_MOST_OF_A_KIND = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="for mutations; the corpus comes first")
    parser.add_argument("--seed", type=int, default=None, help="of all that is drawn; a new one where none is given")
    parser.add_argument("--keep", action="store_true", help="leave the logs where they are")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    say(f"fuzz for {options.minutes:g} minutes; --seed {seed} draws the same")
    home = Path(tempfile.mkdtemp(prefix="taskyard-fuzz-"))
    home.chmod(0o711)
    good = False
    try:
        with servers(home, port=0) as (postgres, valkey), smtp_sink(home / "mails") as sink:
            migrate.upgrade(postgres.url())
            prepare(postgres.url())
            fleet = Fleet(home, postgres.url(), valkey.url)
            try:
                good = run(Stand(fleet, sink), options.minutes * 60, seed)
            finally:
                fleet.stop()
    finally:
        if good and not options.keep:
            shutil.rmtree(home)
        else:
            say(f"the logs are in {home}")
    return 0 if good else 1


def run(stand: Stand, seconds: float, seed: int) -> bool:
    until = time.monotonic() + seconds
    described = Described(stand)
    attacks = Attacks(stand, described)
    with stand.watched():
        attacks.corpus(seed)
        say(f"the corpus is sent: {stand.notes.sent} requests")
        for number, turn in enumerate(attacks.turns(), start=seed):
            if time.monotonic() > until:
                break
            turn(number)
        say(f"{stand.notes.sent} requests are sent")
        settle(stand)
        say("everything is final")
    judge(stand, described)
    return report(stand)


def report(stand: Stand) -> bool:
    told = Counter[str]()
    for finding in stand.notes.findings:
        told[finding.what] += 1
        if told[finding.what] <= _MOST_OF_A_KIND:
            print(f"BROKEN  {finding}", flush=True)
    for what, count in told.items():
        if count > _MOST_OF_A_KIND:
            print(f"{count} times in all: {what}")
    states = stand.fleet.query("SELECT state, count(*) AS n FROM task GROUP BY state ORDER BY state")
    say(f"{stand.notes.sent} requests; tasks: {', '.join(f'{row.n} {row.state}' for row in states)}")
    print("NOT GOOD" if told else "every promise was kept", flush=True)
    return not told


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
