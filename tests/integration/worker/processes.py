"""Worker processes on real servers, without an API."""

from __future__ import annotations

import subprocess
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from taskyard.domain.tasks import Publication
from taskyard.lifecycle import submit
from taskyard.store import ledger
from tests.integration.worker.harness import Harness
from tests.support.fleet import Fleet, wait_for
from tests.support.ledger import new_task

FINAL = {"succeeded", "failed", "cancelled"}


class LedgerFleet:
    """A fleet without an API: tasks are put into the ledger and into Redis directly."""

    def __init__(self, fleet: Fleet, harness: Harness) -> None:
        self.fleet = fleet
        self.harness = harness
        fleet.environment["TASKYARD_TASK_MODULES"] = "tests.support.effects,tests.support.oddities"

    def put(self, name: str, count: int = 1, *, queue: str = "default", **params: Any) -> list[UUID]:
        tasks = [new_task(name, queue=queue, params=params, max_attempts=1) for _ in range(count)]
        done = ledger.run(self.harness.engine, lambda conn: submit.submit(conn, tasks))
        self.harness.publisher.publish(done.publications)
        return [task.id for task in tasks]

    def again(self) -> None:
        """What a scheduler would do: publishes what is queued."""
        rows = self.harness.query("SELECT id, publication FROM task WHERE state = 'queued'")
        self.harness.publisher.publish([Publication(r.id, "default", r.publication) for r in rows])

    def wait(self, ids: list[UUID], seconds: float = 20) -> list[str]:
        wait_for(lambda: set(self.harness.states(ids)) <= FINAL, seconds, f"all to end\n{self.fleet.logs()[-3000:]}")
        return self.harness.states(ids)

    def row(self, task_id: UUID) -> sa.Row[Any]:
        return self.harness.query("SELECT * FROM task WHERE id = :id", id=task_id)[0]

    def start_raw(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Without waiting for anything."""
        return self.fleet.start("taskyard-worker", "run", "--queues", "default", *arguments)


def lines(log: str, *words: str) -> list[str]:
    return [line for line in log.splitlines() if all(word in line for word in words)]
