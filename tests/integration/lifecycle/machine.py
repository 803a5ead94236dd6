"""Where the stateful test plays: the servers, the leader's tools, and what must be true after every step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from dramatiq.brokers.redis import RedisBroker
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
)
from sqlalchemy import Connection

from taskyard.domain.tasks import (
    FINAL,
    Publication,
)
from taskyard.lifecycle import publish
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.submit import NewTask
from taskyard.store import ledger
from taskyard_scheduler.promotion import Promotion
from taskyard_scheduler.rebuild import Rebuild
from taskyard_scheduler.reconcile import Reconcile
from taskyard_scheduler.relay import Relay
from taskyard_scheduler.rescue import Rescue
from taskyard_worker.child.fetcher import Fetcher, Messages
from tests.support.scheduling import LeaderParts

from .model import Model, Task, Worker
from .rows import QUEUE

MAX_SUSPICIONS = 1
LEASE_SECONDS = 90.0
LIFE_SECONDS = 120.0
EVERY_TYPE, SOME_TYPE = "email.send", "other.type"
NEWEST = 3
# The first worker runs most of what is submitted, and the last one everything.
USUAL = {EVERY_TYPE: 2, SOME_TYPE: 2}
EVERYTHING = {EVERY_TYPE: NEWEST, SOME_TYPE: NEWEST}

_ROWS = sa.text("""
SELECT t.id, t.state, t.attempt, t.claim, t.worker_id, t.failures, t.crashes, t.suspicions, t.displacements,
    t.put_offs, t.publication,
    t.cancel_requested_at IS NOT NULL AS is_cancel_requested, t.max_attempts, t.due_at, t.finished_at,
    -- What time moves in this test is left out.
    CASE WHEN t.finished_at IS NOT NULL THEN to_jsonb(t) - '{run_at,queued_at,expires_at}'::text[] END AS whole,
    EXISTS (SELECT FROM outbox o WHERE t.id = ANY(o.task_ids)) AS is_boxed,
    ARRAY(SELECT name || '/' || key FROM unique_key u WHERE u.task_id = t.id) AS held_keys
FROM task t
""")
_CLEAR = sa.text("""
WITH a AS (DELETE FROM task), b AS (DELETE FROM outbox), c AS (DELETE FROM unique_key), d AS (DELETE FROM worker),
e AS (DELETE FROM task_attempt), f AS (DELETE FROM task_event), g AS (UPDATE queue SET paused_at = NULL)
DELETE FROM task_progress
""")

Step = TypeVar("Step", bound=Callable[..., None])
one_of_them = st.integers(0, 11)
yes_or_no = st.booleans()


class HeldDispatcher(Dispatcher):
    """Publishes nothing by itself: what was committed waits until the test lets it happen."""

    waiting: list[Committed[Any]]

    def dispatch(self, committed: Committed[Any]) -> None:
        if committed.publications:
            self.waiting.append(committed)


@dataclass(eq=False)
class Hold:
    """What a child believes to hold; `attempt` is None until its claim was answered."""

    task: Task
    claim: UUID
    worker: Worker
    is_apart: bool
    freed_key: str | None
    attempt: int | None = None
    failures: int = 0
    has_begun: bool = False
    was_forgotten: bool = False


@dataclass(eq=False)
class Child:
    """What a worker's process has at hand: messages it fetched, and a claim whose answer it never got."""

    worker: Worker
    broker: RedisBroker
    fetched: Messages = field(default_factory=dict)
    unanswered: tuple[UUID, list[UUID], bool] | None = None
    unheld: set[UUID] = field(default_factory=set)

    @property
    def is_idle(self) -> bool:
        return not self.fetched and self.unanswered is None


@dataclass
class Servers:
    """The servers and the leader's tools, made once for all examples."""

    leader: LeaderParts
    conn: Connection
    kept: HeldDispatcher

    def broker(self) -> RedisBroker:
        return RedisBroker(  # type: ignore[no-untyped-call]
            client=self.leader.client, namespace=self.leader.names.namespace, middleware=[], maintenance_chance=0
        )


Happening = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Possible:
    when: Callable[[Any], object]
    weight: int
    strategy: st.SearchStrategy[Happening]


HAPPENINGS: dict[str, Possible] = {}


def may_happen(
    *, when: Callable[[Any], object] = lambda _: True, weight: int = 1, **strategies: st.SearchStrategy[Any]
) -> Callable[[Step], Step]:
    """One thing among those that may happen next. These are no rules of their own: Hypothesis leaves out about half of
    the rules in each example, and then hardly any task gets as far as to be claimed twice."""

    def decorate(function: Step) -> Step:
        name = function.__name__
        HAPPENINGS[name] = Possible(when, weight, st.tuples(st.just(name), st.fixed_dictionaries(strategies)))
        return function

    return decorate


def _next(machine: Machine) -> st.SearchStrategy[Happening]:
    return _one_of(tuple(name for name, possible in HAPPENINGS.items() if possible.when(machine)))


@functools.cache
def _one_of(names: tuple[str, ...]) -> st.SearchStrategy[Happening]:
    # The heaviest first: Hypothesis draws what stands first more often than the rest.
    by_weight = sorted(names, key=lambda name: -HAPPENINGS[name].weight)
    weighted = [name for name in by_weight for _ in range(HAPPENINGS[name].weight)]
    return st.sampled_from(weighted).flatmap(lambda name: HAPPENINGS[name].strategy)


class Machine(RuleBasedStateMachine):
    """What has happened so far; `happens` picks what does next."""

    def __init__(self, servers: Servers) -> None:
        super().__init__()
        self.servers, self.leader, self.conn = servers, servers.leader, servers.conn
        self.conn.execute(_CLEAR)
        self.leader.client.flushdb()
        self.model = Model(crash_limit=2, max_suspicions=MAX_SUSPICIONS, lease=LEASE_SECONDS)
        self.committed: list[Committed[Any]] = []
        servers.kept.waiting = self.committed
        self.children: list[Child] = []
        self.holds: list[Hold] = []
        self.asked: list[tuple[NewTask, Hold | None]] = []
        self.published: list[Publication] = []
        self.before: dict[UUID, Any] = {}
        self.forgotten: UUID | None = None
        self.retried: set[UUID] = set()
        self.sent: set[UUID] = set()
        self.ids = 0
        self.is_sound = False

    def _start_the_leader(self) -> None:
        leader = self.leader
        lead, database, metrics = leader.leadership, leader.database, leader.metrics
        lead.campaign()
        self.promotion = Promotion(lead, self.servers.kept, metrics)
        self.relay = Relay(lead, leader.publisher, database, metrics)
        self.rescuer = Rescue(
            lead,
            self.servers.kept,
            database,
            metrics,
            lease=timedelta(seconds=LEASE_SECONDS),
            crash_limit=self.model.crash_limit,
        )
        broker = leader.telemetry.dependency("redis")
        self.rebuild = Rebuild(lead, leader.publisher, database, leader.tasks, metrics, broker)
        self.missing = Reconcile(
            lead,
            self.servers.kept,
            database,
            leader.tasks,
            metrics,
            wait_for=lambda: self.relay.backlog or self.rebuild.is_needed,
            clock=leader.clock,
        )

    @rule(what=st.runner().flatmap(_next))
    def happens(self, what: Happening) -> None:
        self.is_sound = False
        name, given = what
        getattr(self, name)(**given)

    # What is promised

    @invariant()
    def the_ledger_is_what_the_model_says(self) -> None:
        rows = {r.id: r for r in self.conn.execute(_ROWS)}
        tasks = self.model.tasks
        assert rows.keys() == tasks.keys(), "every accepted task exists, and no other"
        for task_id, row in rows.items():
            assert tuple(row)[1:12] == tasks[task_id].row()
            self._check(row, self.before.get(task_id))
        assert {key: i for i, row in rows.items() for key in row.held_keys} == self.model.keys
        self.before = rows
        self.forgotten, self.retried, self.sent = None, set(), set()
        self.is_sound = True

    def _check(self, row: Any, before: Any) -> None:
        """What holds whatever the model believes."""
        assert row.failures <= row.max_attempts
        assert row.crashes <= self.model.crash_limit
        assert row.suspicions <= MAX_SUSPICIONS
        assert (row.claim is not None) == (row.state == "running")
        assert (row.finished_at is not None) == (row.state in FINAL)
        assert (row.due_at is not None) == (row.state in {"scheduled", "retrying"})
        is_new = before is None
        if not is_new and before.whole is not None and row.id not in self.retried:
            assert row.whole == before.whole, "final is final"
        if row.id == self.forgotten:
            return
        assert is_new or row.attempt >= before.attempt
        if row.state == "queued" and (is_new or row.publication > before.publication):
            assert row.is_boxed or row.id in self.sent, "what becomes queued is in the outbox with it"

    # Odds and ends

    def _id(self, kind: int) -> UUID:
        """The same ids in every run, in the order they were made."""
        self.ids += 1
        return UUID(int=self.ids << 8 | kind)

    def _child(self, n: int) -> Child:
        return self.children[n % len(self.children)]

    def _fetcher(self, child: Child) -> Fetcher:
        return Fetcher(self.leader.client, self.leader.names, [QUEUE], child.broker.broker_id)

    def _announce(self, done: Committed[Any]) -> None:
        self.servers.kept.dispatch(done)

    def _transaction(self) -> Any:
        return ledger.transaction(self.leader.engine)

    def _publish(self, n: int, how: str = "done") -> None:
        committed = self.committed.pop(n % len(self.committed))
        if how == "died":
            return
        self.leader.publisher.publish(committed.publications)
        self.published += committed.publications
        if how == "done" and committed.outbox_ids:
            publish.delete(self.conn, committed.outbox_ids)
            self.sent |= {p.task_id for p in committed.publications}
