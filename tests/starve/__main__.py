"""`python -m tests.starve --minutes 2`: 0 where every bar holds, else 1."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from taskyard.store import migrate
from taskyard_dev.servers import servers
from taskyard_dev.smtp_sink import smtp_sink
from tests.support.fleet import Fleet, wait_for
from tests.support.task_role import prepare

from .hostile import Hostile, growing_image, hostiles
from .load import PER_SECOND, Ordinary, Sent, steadily
from .verdict import Bars, Phase, is_quiet, judge, settle, table

PROCESSES, THREADS = 3, 4
_SETTLES_WITHIN = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.starve", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--only", default="", help="the hostile ones whose name contains this")
    parser.add_argument("--keep", action="store_true", help="leave the logs where they are")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    home = Path(tempfile.mkdtemp(prefix="taskyard-starve-"))
    home.chmod(0o711)
    good = False
    try:
        with servers(home, port=0) as (postgres, valkey), smtp_sink(home / "mails") as sink, ExitStack() as exits:
            migrate.upgrade(postgres.url())
            prepare(postgres.url())
            fleet = Fleet(home, postgres.url(), valkey.url)
            exits.callback(fleet.stop)
            good = Drill(fleet, sink, options.minutes * 60, options.only).run()
    finally:
        if good and not options.keep:
            shutil.rmtree(home)
        else:
            print(f"the logs are in {home}", flush=True)
    return 0 if good else 1


class Drill:
    """The phases, one after the other, on one stack."""

    def __init__(self, fleet: Fleet, sink: int, seconds: float, only: str) -> None:
        self._fleet = fleet
        self._only = only
        self._seconds = seconds
        fleet.environment |= {
            "TASKYARD_TASK_MODULES": "tests.support.effects,tests.support.sick,tests.starve.tasks",
            "TASKYARD_TEMP_DIR": str(fleet.home / "temp"),
            "TASKYARD_LOG_LEVEL": "warning",
            "TASKYARD_SMTP_HOST": "127.0.0.1",
            "TASKYARD_SMTP_PORT": str(sink),
            "TASKYARD_SMTP_SECURITY": "none",
        }

    def run(self) -> bool:
        fleet = self._fleet
        fleet.start_api()
        fleet.start_scheduler()
        worker = fleet.start_worker(queues="high_priority,default", processes=PROCESSES, threads=THREADS)
        image = fleet.http.post(
            "/tree-items", content=growing_image(),
            headers={"X-Filename": "image.png", "Content-Type": "image/png"},
        )  # fmt: skip
        assert image.status_code == 201, image.text
        turns = [one for one in hostiles(image.json()["item_id"]) if self._only in one.name]
        each = self._seconds / (len(turns) + 1)
        say(f"{len(turns)} kinds, {each:.1f} s each")
        with httpx.Client(
            base_url=str(fleet.http.base_url), headers={"Authorization": f"Bearer {self._new_key()}"}, timeout=30
        ) as stranger:
            self._phase("warming up", None, stranger, each / 4, Bars())
            alone = self._phase("nothing", None, stranger, each, Bars())
            replacement = self._replacement_seconds(worker.pid)
            bars = Bars.of(alone, replacement)
            say(f"a child is replaced in {replacement:.2f} s; p50 may be {bars.p50:.2f} s, p99 {bars.p99:.2f} s")
            phases = [self._phase(one.name, one, stranger, each, bars) for one in turns]
        for line in table(alone, phases):
            print(line)
        good = not any(phase.broken for phase in (alone, *phases))
        print("every bar holds" if good else "NOT GOOD", flush=True)
        return good

    def _phase(self, name: str, hostile: Hostile | None, stranger: httpx.Client, seconds: float, bars: Bars) -> Phase:
        say(name)
        ordinary, sent = Ordinary(), Sent()
        with ExitStack() as exits:
            if hostile is not None:
                exits.enter_context(
                    steadily(lambda _: sent.send(stranger, hostile.path, hostile.body), hostile.per_second)
                )
            exits.enter_context(steadily(lambda number: ordinary.submit(self._fleet.http, number), PER_SECOND))
            time.sleep(seconds)
        settle(self._fleet, ordinary, _SETTLES_WITHIN)
        judged = judge(self._fleet, name, ordinary, sent, bars)
        # What is left of them belongs to no other phase.
        for task_id in sent.accepted:
            self._fleet.http.post(f"/tasks/{task_id}/cancel")
        deadline = time.monotonic() + _SETTLES_WITHIN
        while not is_quiet(self._fleet) and time.monotonic() < deadline:
            time.sleep(0.2)
        return judged

    def _new_key(self) -> str:
        """A key that may submit, and nothing else."""
        made = subprocess.run(
            [Path(sys.executable).parent / "taskyard-api", "keys", "create", "--name", "stranger", "--scope", "submit",
             "--json"],
            env=self._fleet.environment, check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        return str(json.loads(made.stdout)["key"])

    def _replacement_seconds(self, worker: int) -> float:
        """From a child's death to the heartbeat that has its successor, while nothing else happens."""
        before = self._registered(worker)
        began = time.monotonic()
        os.kill(min(before), signal.SIGKILL)
        wait_for(lambda: len(self._registered(worker) - before) == 1, 30, "the successor")
        return time.monotonic() - began

    def _registered(self, worker: int) -> set[int]:
        """The children that the worker's last heartbeat named."""
        rows = self._fleet.query(
            "SELECT (c ->> 'pid')::int AS pid FROM worker, jsonb_array_elements(children) c WHERE worker.pid = :pid",
            pid=worker,
        )
        return {row.pid for row in rows}


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
