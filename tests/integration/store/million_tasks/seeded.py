"""A million tasks, and how to measure what a verb reads of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from taskyard.domain.tasks import Fault
from taskyard.lifecycle import claim, submit
from tests.integration.store import seeding
from tests.integration.store.plans import Plan, plans_of
from tests.support.ledger import new_task

N = 16
TYPES = dict.fromkeys([*seeding.NAMES, seeding.RARE_NAME], 1)
FAULT = Fault("smtp_refused", "The mail server refused.", "SMTPError", True)


@dataclass(frozen=True)
class Seeded:
    """A transaction on the seeded database that is never committed, and rows to try things on."""

    conn: Connection
    queued: list[UUID]
    failed: list[UUID]
    middle: UUID
    is_waiting: bool

    def new(self) -> submit.NewTask:
        return new_task(seeding.NAMES[0], params={"value": 1})

    def claim(self, conn: Connection, claim_id: UUID) -> list[claim.Claimed]:
        return claim.claim(
            conn, self.queued, claim=claim_id, worker_id=seeding.LIVE_WORKER, worker="w:1", types=TYPES
        ).answer

    def measure(self, verb: Callable[[Connection], object], *, pages: int) -> list[Plan]:
        """Runs the verb's statements and checks that each is flat."""
        plans = plans_of(self.conn, verb)
        assert plans
        for plan in plans:
            big = plan.seq_scans & {"task", "task_attempt", "task_event", "task_progress", "unique_key", "audit"}
            assert not big, f"scans all of {big}:\n{plan}"
            assert plan.buffers <= pages, f"{plan.buffers} pages instead of {pages}:\n{plan}"
        return plans
