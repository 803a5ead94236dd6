"""The drill, and what its ledger has to show."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from taskyard_client import Client, Workflow, chain, group, step
from tests.schedules_drill.drill import Verdict as Fires
from tests.schedules_drill.drill import judge
from tests.support.effects import effects
from tests.support.fleet import KEY, Fleet, wait_for
from tests.support.schedules import leader_of, make_schedule

# Around what ends a step, and around what fires a schedule.
_OF_WORKERS = ("effect.after", "finish.before", "finish.after", "claim.after")
_OF_LEADERS = ("fire.before", "fire.after", "promote.before", "promote.after")
_FLOWS_AT_ONCE = 12
_SCHEDULES = 3
_EFFECT = "tests.effect"


@dataclass
class Verdict:
    """The figures from `joined_twice` to `without_end` have to be 0, and those of `fires` have to hold."""

    deaths: dict[str, int] = field(default_factory=dict)
    killed_workers: int = 0
    workflows: int = 0
    steps: int = 0
    effects: int = 0
    repeated_effects: int = 0
    out_of_crash_budget: int = 0
    joined_twice: int = 0
    miscounted: int = 0
    without_attempt: int = 0
    without_end: int = 0
    fires: Fires = field(default_factory=Fires)

    @property
    def holds(self) -> bool:
        wrong = self.joined_twice + self.miscounted + self.without_attempt + self.without_end
        return not wrong and self.fires.holds

    @property
    def says_something(self) -> bool:
        return self.deaths.keys() >= {"effect.after", "fire.after"} and self.fires.due_times > 0


class Drill:
    """An API that stays; workers and schedulers that die, each at a place that is drawn for it."""

    def __init__(self, home: Path, database_url: str, redis_url: str, *, seed: int) -> None:
        self._fleet = Fleet(home, database_url, redis_url)
        self._fleet.environment |= {"TASKYARD_LEADER_LEASE_SECONDS": "2", "TASKYARD_MISFIRE_GRACE_SECONDS": "60"}
        self._client: Client | None = None
        self._rand = random.Random(seed)
        self._verdict = Verdict()
        self._open: list[Workflow] = []
        self._ended: list[Workflow] = []
        self._armed: dict[subprocess.Popen[bytes], Path] = {}

    def run(self, *, minutes: float) -> Verdict:
        fleet = self._fleet
        try:
            # This worker stays, so that what a dying one held never waits for the next to start.
            fleet.start_all(processes=1, threads=1)
            wait_for(lambda: leader_of(fleet) is not None, 60, "a leader")
            self._client = Client(f"http://127.0.0.1:{fleet.port}", KEY)
            made = [make_schedule(fleet, f"each second {n}", trigger={"every_seconds": 1}) for n in range(_SCHEDULES)]
            until = time.monotonic() + 60 * minutes
            while time.monotonic() < until:
                self._round()
            self._finish()
            judge(fleet, made, self._verdict.fires)
            self._judge_workflows()
            return self._verdict
        finally:
            if self._client is not None:
                self._client.close()
            fleet.stop()

    # What happens in a round: work comes, a worker and whoever leads get places to die at

    def _round(self) -> None:
        rand, fleet = self._rand, self._fleet
        places = self._drawn(_OF_WORKERS, 6)
        worker = self._start(lambda: fleet.start_worker(threads=2), "worker", places)
        for _ in range(2 - sum(process.poll() is None for process in self._schedulers() if process in self._armed)):
            self._start(fleet.start_scheduler, "scheduler", self._drawn(_OF_LEADERS, 4))
        for process in self._schedulers():
            if process not in self._armed:
                process.kill()
        until = time.monotonic() + rand.uniform(3.0, 8.0)
        while time.monotonic() < until and self._reached(worker) < len(places):
            self._open = [flow for flow in self._open if not self._has_ended(flow)]
            while len(self._open) < _FLOWS_AT_ONCE:
                self._open.append(self._start_flow())
            time.sleep(0.1)
        if rand.random() < 0.5:
            worker.kill()  # its children follow: they see that their supervisor is gone
            self._verdict.killed_workers += 1
        else:
            worker.send_signal(signal.SIGTERM)
        worker.wait(60)

    def _schedulers(self) -> list[subprocess.Popen[bytes]]:
        return [process for process in self._fleet.processes if "taskyard-scheduler" in str(process.args)]

    def _drawn(self, places: tuple[str, ...], most: int) -> list[str]:
        return [f"{place}:{self._rand.randint(1, most)}" for place in places]

    def _start(
        self, start: Callable[[], subprocess.Popen[bytes]], name: str, places: list[str]
    ) -> subprocess.Popen[bytes]:
        directory = self._fleet.home / f"{name}-{len(self._armed)}"
        more = {"TASKYARD_TEMP_DIR": str(directory), "TASKYARD_FAILPOINTS": ",".join(places)}
        self._fleet.environment |= more
        try:
            process = start()
        finally:
            for variable in more:
                del self._fleet.environment[variable]
        self._armed[process] = directory / "failpoints"
        return process

    def _reached(self, process: subprocess.Popen[bytes]) -> int:
        return len(list(self._armed[process].glob("*")))

    def _start_flow(self) -> Workflow:
        width = self._rand.randint(2, 8)
        return self._api.start(
            chain(
                group(step(_EFFECT) for _ in range(width)),
                step(_EFFECT, called="join"),
                group(chain(step(_EFFECT), step(_EFFECT)) for _ in range(self._rand.randint(1, 3))),
                step(_EFFECT, called="end"),
            )
        )

    @property
    def _api(self) -> Client:
        assert self._client is not None
        return self._client

    def _has_ended(self, flow: Workflow) -> bool:
        found = self._api.workflow(flow.id)
        if found.is_final:
            self._ended.append(found)
        return found.is_final

    def _finish(self) -> None:
        """The worker that stayed ends what is left, under a scheduler that nothing kills."""
        self._fleet.start_scheduler()
        until = time.monotonic() + 120
        while self._open and time.monotonic() < until:
            self._open = [flow for flow in self._open if not self._has_ended(flow)]
            time.sleep(0.2)
        self._verdict.without_end = len(self._open)

    # What the ledger has to show

    def _judge_workflows(self) -> None:
        verdict, fleet = self._verdict, self._fleet
        marks = (mark.name for directory in self._armed.values() for mark in directory.glob("*"))
        verdict.deaths = dict(Counter(marks))
        verdict.workflows = len(self._ended)
        for flow in self._ended:
            ends = fleet.query(
                "SELECT data ->> 'task_id' AS task, count(*) AS n FROM workflow_event"
                " WHERE workflow_id = :id AND kind = 'step' GROUP BY 1",
                id=flow.id,
            )
            steps = fleet.query(
                "SELECT t.id, t.state, t.attempt, s.pending_needs, t.error ->> 'code' AS code"
                " FROM workflow_step s JOIN task t ON t.id = s.task_id WHERE s.workflow_id = :id",
                id=flow.id,
            )
            verdict.steps += len(steps)
            verdict.joined_twice += sum(row.n != 1 for row in ends) + abs(len(ends) - len(steps))
            verdict.out_of_crash_budget += any(row.code == "crash_limit" for row in steps)
            if flow.succeeded:
                verdict.miscounted += sum(row.pending_needs != 0 or row.state != "succeeded" for row in steps)
            elif not any(row.code == "crash_limit" for row in steps):
                verdict.without_end += 1
        ran = Counter(effects(fleet.effects))
        verdict.effects, verdict.repeated_effects = ran.total(), ran.total() - len(ran)
        rows = fleet.query("SELECT id, attempt FROM task WHERE id = ANY(:ids)", ids=[UUID(task) for task in ran])
        verdict.without_attempt = sum(ran[str(row.id)] > row.attempt for row in rows)
