"""Workflows in any order: steps end, expire, are cancelled, run again and add others, and the leader turns in between.

After each move the ledger is held to what is promised of it, and in the end every workflow comes to rest.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from taskyard.domain.errors import Fenced
from taskyard.domain.tasks import FINAL, Outcome, State
from taskyard.lifecycle import cancel, held_steps, promote, submit, sweeps, workflows
from taskyard.lifecycle.finish import Finished, finish
from taskyard.lifecycle.retry import retry
from taskyard.store import ledger
from taskyard.store.audit import Actor

from .flows import BAD, GONE, OK, Flow, flow_of
from .rows import Worker, claim_of, new
from .test_races import waiting_for_a_lock
from .test_workflow_graphs import Graph, graphs

LIFE, ME = timedelta(hours=1), Actor("ci")
_STEPS = sa.text("""
SELECT t.id, t.state, s.optional, s.pending_needs, s.leads_to, (
    SELECT count(*) FROM unnest(s.needs) d(id) JOIN task n ON n.id = d.id JOIN workflow_step o ON o.task_id = n.id
    WHERE n.state <> 'succeeded' AND NOT (o.optional AND n.state IN ('failed', 'cancelled'))) AS unmet
FROM workflow_step s JOIN task t ON t.id = s.task_id WHERE s.workflow_id = :id ORDER BY t.id
""")
_IS_LATE = sa.text("UPDATE task SET expires_at = now() - interval '1 s' WHERE id = :id")


@dataclass
class Walk:
    engine: Engine
    flow: Flow
    chance: random.Random
    # What a person has run again alone, and what needs it: these may run while needs of theirs are not met.
    alone: set[UUID] = field(default_factory=set)

    @property
    def conn(self) -> Connection:
        return self.flow.conn

    def steps(self) -> Sequence[Any]:
        return self.conn.execute(_STEPS, {"id": self.flow.id}).all()

    def in_state(self, *states: State) -> list[UUID]:
        return [step.id for step in self.steps() if step.state in states]

    def some(self, *states: State) -> list[UUID]:
        found = self.in_state(*states)
        return self.chance.sample(found, self.chance.randint(1, len(found))) if found else []

    # What happens

    def claim(self) -> None:
        if ids := self.some(State.QUEUED):
            assert len(self.flow.worker.claim(ids)) == len(ids)

    def end(self) -> None:
        self.end_of(self.some(State.RUNNING))

    def end_of(self, ids: Sequence[UUID], *, well: bool = False) -> None:
        usual: list[Outcome] = [OK, OK, BAD, GONE]
        outcomes = [OK if well else self.chance.choice(usual) for _ in ids]
        finish(self.conn, [Finished(i, claim_of(self.conn, i), o, 0.1) for i, o in zip(ids, outcomes, strict=True)])

    def cancel(self) -> None:
        for task_id in self.some(State.QUEUED, State.BLOCKED, State.RUNNING)[:1]:
            ledger.run_transaction(self.engine, partial(cancel.cancel_task, task_id=task_id, by=ME))

    def expire(self) -> None:
        for task_id in self.some(State.QUEUED, State.BLOCKED)[:1]:
            self.conn.execute(_IS_LATE, {"id": task_id})
        promote.expire(self.conn)

    def add(self) -> None:
        for parent in self.some(State.RUNNING)[:1]:
            child = new(workflow_id=self.flow.id, parent_id=parent)
            claim = claim_of(self.conn, parent)
            try:
                with ledger.transaction(self.engine) as own:
                    submit.submit_children(own, [child], parent_id=parent, claim=claim)
                    workflows.join_workflow(own, parent, [child])
            except Fenced:  # it was asked to end
                continue

    def retry(self) -> Callable[[Connection], object]:
        ids = self.some(State.FAILED, State.CANCELLED)[:2]
        needed_by = {i for step in self.steps() if step.id in ids for i in step.leads_to}
        self.alone |= {*ids, *(needed_by - set(self.in_state(State.BLOCKED)))}
        return lambda own: retry(own, ids, life=LIFE)

    def retry_alone(self) -> None:
        self.retry()(self.conn)

    def retry_all(self) -> None:
        done = ledger.run_transaction(self.engine, partial(workflows.retry_workflow, workflow_id=self.flow.id, by=ME))
        if done.answer and done.answer.steps:
            self.alone.clear()

    def cancel_all(self) -> None:
        if self.chance.random() < 0.3:
            workflows.cancel_workflow(self.conn, self.flow.id, by=ME)

    def leader(self, own: Connection) -> None:
        if self.chance.random() < 0.5:
            held_steps.recheck(own, None)
        else:
            sweeps.sweep(own, self.flow.id, limit=self.chance.choice([1, 1000]))

    def turn(self) -> None:
        ledger.run_transaction(self.engine, self.leader)

    def retry_meets_the_leader(self) -> None:
        """The leader decides before the retry commits, and comes to the rows behind it."""
        with ThreadPoolExecutor(1) as pool:
            with ledger.transaction(self.engine) as own:
                self.retry()(own)
                later = pool.submit(ledger.run_transaction, self.engine, self.leader)
                while not (later.done() or waiting_for_a_lock(self.conn)):
                    time.sleep(0.002)
            later.result(timeout=10)

    # What is promised

    def check(self) -> None:
        steps, row = self.steps(), self.flow.row
        assert [step.pending_needs for step in steps] == [step.unmet for step in steps]
        early = {step.id for step in steps if step.state in (State.QUEUED, State.RUNNING) and step.pending_needs}
        assert early <= self.alone, "no step begins before its needs have ended"
        required = [step.state for step in steps if not step.optional]
        excused = [step.state for step in steps if step.optional]
        assert row.steps == len(steps)
        assert row.failed == required.count(State.FAILED)
        assert row.cancelled == required.count(State.CANCELLED)
        assert row.succeeded == required.count(State.SUCCEEDED) + excused.count(State.SUCCEEDED)
        if not {step.state for step in steps} <= FINAL:
            wanted = "running"
        elif row.cancel_requested_at or (State.CANCELLED in required and State.FAILED not in required):
            wanted = "cancelled"
        else:
            wanted = "failed" if State.FAILED in required else "succeeded"
        assert row.state == wanted
        assert row.state == "running" or row.swept == row.marks

    def rest(self) -> None:
        """Nobody does anything any more but the leader, and workers whose tasks succeed."""
        for _ in range(3 * len(self.steps()) + 3):
            self.flow.sweep()
            ledger.run_transaction(self.engine, partial(held_steps.recheck, after=None))
            self.check()
            if ids := self.in_state(State.QUEUED):
                self.flow.worker.claim(ids)
            self.end_of(self.in_state(State.RUNNING), well=True)
        assert {step.state for step in self.steps()} <= FINAL, "every step ends"
        self.check()


MOVES = [
    *(2 * [Walk.claim, Walk.end, Walk.turn, Walk.retry_alone]),
    *[Walk.cancel, Walk.expire, Walk.add, Walk.retry_all, Walk.cancel_all, Walk.retry_meets_the_leader],
]


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs(), moves=st.lists(st.sampled_from(MOVES), min_size=12, max_size=24))
def test_whatever_happens_no_step_begins_early_and_every_workflow_comes_to_rest(
    engine: Engine, worker: Worker, graph: Graph, moves: list[Callable[[Walk], None]]
) -> None:
    flow = flow_of(worker, graph.needs, on_failure=graph.on_failure, optional=graph.optional)
    walk = Walk(engine, flow, random.Random(graph.seed))
    for move in moves:
        move(walk)
        walk.check()
    walk.rest()
