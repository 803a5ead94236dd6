"""The lifecycle in any order: Hypothesis picks what happens, the ledger must stay what the model says.

Tasks are submitted, published, claimed, finished, cancelled and retried; messages are lost, doubled and delayed, Redis
is flushed; processes and hosts die, answers get lost, PostgreSQL forgets the newest commits; relay, promotion,
rescue and reconcile turn. All of it with the real statements on a real PostgreSQL, the publisher, the fetcher and
the scheduler's jobs on a real Valkey. After every step the ledger is compared with the model (`model.py`) and
with what is promised; at the end everything must come to rest: nothing is lost.

The examples are the same in every run. `TASKYARD_STATEFUL_EXAMPLES=2000` tries that many others, drawn anew each
time (`--hypothesis-seed` repeats them).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    run_state_machine_as_test,
)
from sqlalchemy import Engine

from taskyard.domain.errors import Fenced, NotUnique
from taskyard.domain.tasks import (
    FINAL,
    State,
    Succeeded,
)
from taskyard.lifecycle import cancel, rescue, retry, submit
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.lifecycle.keyed import KeyedRequest, submit_keyed
from taskyard.lifecycle.submit import NewTask, Unique
from taskyard.store import ledger
from taskyard_scheduler.leader import Leadership
from taskyard_scheduler.queued_tasks import Position
from tests.support.scheduling import LeaderParts

from .machine import (
    EVERY_TYPE,
    EVERYTHING,
    LEASE_SECONDS,
    LIFE_SECONDS,
    MAX_SUSPICIONS,
    NEWEST,
    SOME_TYPE,
    USUAL,
    Child,
    HeldDispatcher,
    Hold,
    Servers,
    may_happen,
    one_of_them,
    yes_or_no,
)
from .model import Task
from .rows import QUEUE, new
from .worker_rules import WorkerRules

EXAMPLES = os.environ.get("TASKYARD_STATEFUL_EXAMPLES")
SETTINGS = settings(
    max_examples=int(EXAMPLES or 50),
    stateful_step_count=40,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    # Why an example fails is not looked into any further: that takes minutes here.
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

_SUCCESSES = sa.text("SELECT task_id, count(*) AS times FROM task_attempt WHERE outcome = 'succeeded' GROUP BY task_id")
_PASS = sa.text("""
WITH o AS (UPDATE outbox SET created_at = created_at - CAST(:by AS interval)),
w AS (UPDATE worker SET beat_at = beat_at - CAST(:by AS interval))
UPDATE task SET run_at = run_at - CAST(:by AS interval), queued_at = queued_at - CAST(:by AS interval),
    due_at = due_at - CAST(:by AS interval), expires_at = expires_at - CAST(:by AS interval),
    started_at = started_at - CASE WHEN state = 'running' THEN CAST(:by AS interval) ELSE interval '0' END
""")
_PAUSE = sa.text("UPDATE queue SET paused_at = CASE WHEN :pause THEN now() END WHERE name = :queue")


class Lifecycle(WorkerRules):
    # Submitting

    @initialize(
        crash_limit=st.integers(1, 2), tasks=st.integers(0, 3), is_begun=yes_or_no, key=st.sampled_from([None, "k"])
    )
    def there_is_work(self, crash_limit: int, tasks: int, is_begun: bool, key: str | None) -> None:
        """What most examples would have to come to first anyway."""
        self.is_sound = False
        self.model.crash_limit = crash_limit
        self._start_the_leader()
        child = self._start_worker(USUAL)
        for n in range(tasks):
            self.submits(None if n else key, "waiting", False, False, EVERY_TYPE, 1 + n, 2, None, False)
        self._work(child, 2, begins=is_begun)

    @may_happen(
        weight=2,
        when=lambda self: len(self.model.tasks) < 4,
        key=st.sampled_from([None, None, "k", "l"]),
        hold=st.sampled_from(["waiting", "active"]),
        is_late=yes_or_no,
        ends=yes_or_no,
        name=st.sampled_from([EVERY_TYPE, EVERY_TYPE, SOME_TYPE]),
        version=st.sampled_from([1, 2, 2, NEWEST]),
        max_attempts=st.integers(1, 3),
        parent=st.none() | one_of_them,
        leaves_children=yes_or_no,
    )
    def submits(
        self,
        key: str | None,
        hold: str,
        is_late: bool,
        ends: bool,
        name: str,
        version: int,
        max_attempts: int,
        parent: int | None,
        leaves_children: bool,
    ) -> None:
        by = self.holds[parent % len(self.holds)] if parent is not None and self.holds else None
        task = new(
            id=self._id(1),
            name=name,
            version=version,
            max_attempts=max_attempts,
            delay_seconds=60.0 if is_late else None,
            life_seconds=LIFE_SECONDS if ends else None,
            on_cancel="leave_children" if leaves_children else "cancel_children",
            unique=Unique(key, hold) if key and by is None else None,
            parent_id=by.task.id if by else None,
        )
        self.asked.append((task, by))
        self._submit(task, by)

    @may_happen(when=lambda self: self.asked, n=one_of_them)
    def submits_again(self, n: int) -> None:
        """The commit's answer got lost."""
        self._submit(*self.asked[-1 - n % len(self.asked)])

    @may_happen(weight=3, when=lambda self: self._running(), n=one_of_them)
    def a_task_that_is_to_end_submits_another(self, n: int) -> None:
        running = self._running()
        by = running[n % len(running)]
        self._cancel(by.task)
        self._submit(new(id=self._id(1), parent_id=by.task.id), by)

    def _running(self) -> list[Hold]:
        return [h for h in self.holds if self.model.holds(h.task, h.claim)]

    def _submit(self, task: NewTask, by: Hold | None) -> None:
        done: Committed[Any]
        if by is not None:
            may = self.model.holds(by.task, by.claim) and not by.task.is_cancel_requested
            try:
                with self._transaction() as conn:
                    done = submit.submit_children(conn, [task], parent_id=by.task.id, claim=by.claim)
            except Fenced:
                assert not may
                return
            assert may
            self.model.submit(self._as_task(task))
        elif task.unique is None:
            done = submit.submit(self.conn, [task])
            self.model.submit(self._as_task(task))
        else:
            request = KeyedRequest([task], lambda _: StoredAnswer(202, {}, b""))
            with self._transaction() as conn:
                done = submit_keyed(conn, [request])
            is_accepted = self.model.submit(self._as_task(task), f"{task.name}/{task.unique.key}")
            assert isinstance(done.answer[0], StoredAnswer if is_accepted else NotUnique)
        self._announce(done)

    def _as_task(self, task: NewTask) -> Task:
        due = self.model.now + (task.delay_seconds or 0.0)
        return Task(
            task.id,
            task.name,
            task.version,
            task.max_attempts,
            State.SCHEDULED if task.delay_seconds else State.QUEUED,
            publication=0 if task.delay_seconds else 1,
            due=due,
            expires=due + task.life_seconds if task.life_seconds else None,
            follows_cancel=task.on_cancel == "cancel_children",
            parent=task.parent_id,
            hold=task.unique.hold if task.unique else None,
        )

    # Publishing, and what becomes of messages

    @may_happen(
        weight=2,
        when=lambda self: self.committed,
        n=one_of_them,
        how=st.sampled_from(["done", "done", "done", "cut_off", "died"]),
    )
    def publishes(self, n: int, how: str) -> None:
        self._publish(n, how)

    @may_happen(
        weight=4,
        when=lambda self: self.published,
        n=one_of_them,
        what=st.sampled_from(["again", "again", "again", "lost", "without_payload", "late", "all_lost"]),
    )
    def redis_does_to_a_message(self, n: int, what: str) -> None:
        client, names = self.leader.client, self.leader.names
        if what == "again":
            self.leader.publisher.publish([self.published[-1 - n % len(self.published)]])
        elif what == "all_lost":
            client.flushdb()
        elif found := self.leader.messages(QUEUE):
            chosen = found[n % len(found)]
            if what == "late":
                client.lmove(names.queue(QUEUE), names.queue(QUEUE), "LEFT", "RIGHT")
                return
            client.hdel(names.messages(QUEUE), chosen)
            if what == "lost":
                client.lrem(names.queue(QUEUE), 0, chosen)

    # People

    @may_happen(
        weight=4,
        when=lambda self: self.model.tasks,
        n=one_of_them,
        what=st.sampled_from(["retry", "retry", "cancel"]),
    )
    def a_person_wants(self, n: int, what: str) -> None:
        tasks = list(self.model.tasks.values())
        ended = [t for t in tasks if t.state in FINAL]
        chosen = ended if what == "retry" and ended and n % 4 else tasks
        task = chosen[-1 - n % len(chosen)]
        match what:
            case "cancel":
                self._cancel(task)
            case "retry":
                self._retry(task)

    def _cancel(self, task: Task) -> None:
        with self._transaction() as conn:
            cancel.cancel(conn, [task.id], actor="me")
            cancel.cancel_descendants(conn, [task.id], actor="me")
        self.model.cancel_with_descendants(task)

    @may_happen(when=lambda self: not self.model.is_paused)
    def a_person_pauses_the_queue(self) -> None:
        self._pause(True)

    @may_happen(weight=8, when=lambda self: self.model.is_paused)
    def a_person_resumes_the_queue(self) -> None:
        self._pause(False)

    def _retry(self, task: Task) -> None:
        recorded = retry.retry(self.conn, [task.id], life=timedelta(seconds=LIFE_SECONDS))
        is_won = self.model.retry(task, LIFE_SECONDS)
        assert [c.task_id for c in recorded.changes] == [task.id] * is_won
        if is_won:
            self.retried.add(task.id)
        self._announce(recorded)

    def _pause(self, is_paused: bool) -> None:
        self.model.is_paused = is_paused
        self.conn.execute(_PAUSE, {"queue": QUEUE, "pause": is_paused})

    # The scheduler

    def _pass(self, seconds: float) -> None:
        self.model.now += seconds
        self.leader.clock.now += seconds
        self.conn.execute(_PASS, {"by": timedelta(seconds=seconds)})

    @may_happen(
        weight=6,
        minutes=st.sampled_from([0, 1, 1, 2]),
        job=st.sampled_from(
            ["all", "all", "promote", "relay", "rescue", "rebuild", "reconcile", "maintain", "nothing"]
        ),
    )
    def the_scheduler_turns(self, minutes: int, job: str) -> None:
        self._pass(60.0 * minutes)
        for one in ("rescue", "promote", "rebuild", "relay", "maintain", "reconcile") if job == "all" else (job,):
            self._turn(one)

    @may_happen(weight=6, when=lambda self: self._is_work_to_take(), n=one_of_them, begins=yes_or_no)
    def a_host_is_lost_soon_after_it_took_work(self, n: int, begins: bool) -> None:
        """No beat has told of that work."""
        child = self._child(n)
        self.beats(n)
        self._work(child, 1 + n % 4, begins=begins)
        self._pass(2 * LEASE_SECONDS)
        self._turn("rescue")

    def _turn(self, job: str) -> None:
        match job:
            case "promote":
                self.promotion.turn()
                self.model.promote_and_expire()
            case "rescue":
                self.rescuer.turn()
                self.model.rescue()
            case "relay":
                self.relay.turn()
            case "rebuild":
                self.rebuild.turn()
            case "maintain":
                broker = self.servers.broker()
                broker.maintenance_chance = 1_000_000
                broker.do_qsize(QUEUE)
            case "reconcile":
                self._reconcile()

    def _reconcile(self) -> None:
        """After two looks whatever was queued long enough is known to Redis, or in the outbox."""
        self.missing.turn()
        self.leader.clock.now += 60
        self.missing.turn()
        if not self.relay.backlog and not self.rebuild.is_needed:
            page = self.leader.tasks.page(self.conn, Position(QUEUE))
            assert not self.leader.tasks.still_queued(self.conn, self.leader.tasks.unknown(page.old))

    # The end

    def teardown(self) -> None:
        if self.is_sound:
            self._come_to_rest()

    def _come_to_rest(self) -> None:
        """Nobody does anything but their duty: every task comes to its end, and each success counts once."""
        self._pause(False)
        for child in list(self.children):
            self._end(child)
        child = self._start_worker(EVERYTHING)
        for _ in range(8):
            if all(t.state in FINAL for t in self.model.tasks.values()):
                break
            self.beats(0)
            self.the_scheduler_turns(1, "all")
            while self.committed:
                self._publish(0)
            self._work_off(child)
            self.the_ledger_is_what_the_model_says()
        assert {t.state for t in self.model.tasks.values()} <= FINAL, "nothing is lost"
        successes = {r.task_id: r.times for r in self.conn.execute(_SUCCESSES)}
        assert successes == {t.id: 1 for t in self.model.tasks.values() if t.state is State.SUCCEEDED}

    def _work_off(self, child: Child) -> None:
        while fetched := self._fetcher(child).fetch(64, [QUEUE]):
            child.fetched = fetched
            self._claim(child, "done")
        while self._claim_suspect(child, "done"):
            pass
        for hold in list(self.holds):
            self._finish(hold, Succeeded(1))
            self.holds.remove(hold)


@pytest.fixture
def servers(engine: Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    monkeypatch.setattr(rescue, "MAX_SUSPICIONS", MAX_SUSPICIONS)
    monkeypatch.setattr(rescue, "UNLISTED_FOR", timedelta(0))  # what a step really takes decides nothing
    # What a test of orders asks of each commit is that others see it, not that it outlives a power cut.
    sa.event.listen(engine, "connect", lambda made, _: made.execute("SET synchronous_commit = off"))
    leader = LeaderParts(engine, redis_url)
    leader.leadership = Leadership(
        engine, engine, leader.database, name="leader", lease=timedelta(days=365), clock=leader.clock
    )
    kept = HeldDispatcher(engine, leader.publisher)
    with ledger.connection(engine) as conn:
        yield Servers(leader, conn, kept)
    leader.client.close()


@pytest.mark.slow
@pytest.mark.timeout(900)  # an example that fails is made as short as possible
def test_any_order_of_events(servers: Servers) -> None:
    run_state_machine_as_test(lambda: Lifecycle(servers), settings=SETTINGS)  # type: ignore[arg-type]
