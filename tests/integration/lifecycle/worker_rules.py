"""The workers of the stateful test: what their children fetch, claim, finish and lose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from hypothesis import strategies as st

from taskyard.domain.tasks import (
    Cancelled,
    Failed,
    Outcome,
    Released,
    RetryIn,
    State,
    Succeeded,
)
from taskyard.lifecycle import claim, finish, progress, rescue, workers
from taskyard.lifecycle.assertion import Assertion, assert_claims
from taskyard.lifecycle.finish import Finished
from taskyard.lifecycle.put_off import put_off, take_up
from taskyard.lifecycle.rescue import Guilt, Lost
from taskyard.store import task_types
from tests.support.ledger import worker_info

from .machine import (
    EVERY_TYPE,
    LEASE_SECONDS,
    NEWEST,
    SOME_TYPE,
    Child,
    Hold,
    Machine,
    may_happen,
    one_of_them,
    yes_or_no,
)
from .model import Task, Worker
from .rows import FAULT, QUEUE

_SET_DUE = sa.text("UPDATE task SET run_at = now() + :by, due_at = now() + :by WHERE id = ANY(:ids)")
_FORGET_CLAIM = sa.text("""
UPDATE task SET state = 'queued', attempt = attempt - 1, claim = NULL, worker_id = NULL, cancel_requested_at = NULL
WHERE id = :id
""")
_FORGET_PROMOTION = sa.text("""
UPDATE task SET state = :state, publication = publication - 1, due_at = run_at, queued_at = NULL WHERE id = :id
""")


class WorkerRules(Machine):
    @may_happen(
        weight=2,
        when=lambda self: len(self.children) < 3,
        knows_all=yes_or_no,
        version=st.integers(1, NEWEST),
        takes_up=yes_or_no,
    )
    def a_worker_starts(self, knows_all: bool, version: int, takes_up: bool) -> None:
        types = (EVERY_TYPE, SOME_TYPE) if knows_all else (EVERY_TYPE,)
        child = self._start_worker(dict.fromkeys(types, version))
        if takes_up:
            self._take_up(child)

    @may_happen(
        weight=3,
        when=lambda self: self.children and any(t.put_offs for t in self.model.tasks.values()),
        n=one_of_them,
        version=st.sampled_from([None, *range(1, NEWEST + 1)]),
    )
    def a_worker_takes_up_what_was_put_off(self, n: int, version: int | None) -> None:
        """Once more at a heartbeat, or after an update in place."""
        child = self._child(n)
        if version is not None:
            child.worker.types = dict.fromkeys(child.worker.types, version)
            task_types.write_worker(self.conn, child.worker.id, child.worker.types)
        self._take_up(child)

    def _take_up(self, child: Child) -> None:
        done = take_up(self.conn, [QUEUE], types=child.worker.types)
        assert done.answer == self.model.take_up(child.worker.types)
        self._announce(done)

    def _start_worker(self, types: Mapping[str, int]) -> Child:
        worker = Worker(self._id(2), types, self.model.now)
        workers.register(self.conn, worker_info(id=worker.id, task_types=list(types)))
        task_types.write_worker(self.conn, worker.id, types)
        self.model.workers[worker.id] = worker
        self.children.append(Child(worker, self.servers.broker()))
        return self.children[-1]

    @may_happen(
        weight=12,
        when=lambda self: self._is_work_to_take(),
        n=one_of_them,
        what=st.sampled_from(["all", "all", "all", "fetch", "claim", "suspect"]),
        begins=st.sampled_from([True, True, False]),
        how=st.sampled_from(["done", "done", "repeated", "answer_lost", "not_acknowledged"]),
    )
    def a_child_takes_work(self, n: int, what: str, begins: bool, how: str) -> None:
        child = self._child(n)
        match what:
            case "all":
                self._work(child, 1 + n % 4, begins=begins, how=how)
            case "suspect" if child.is_idle:
                self._claim_suspect(child, how)
            case "fetch" if child.is_idle:
                fetched = self._fetcher(child).fetch(1 + n % 4, [QUEUE])
                child.fetched = {} if how == "answer_lost" else fetched
            case "claim" if not child.is_idle:
                self._claim(child, how)

    def _is_work_to_take(self) -> bool:
        waits = any(t.state is State.QUEUED for t in self.model.tasks.values())
        is_work = waits or not all(c.is_idle for c in self.children) or self.leader.messages(QUEUE)
        return bool(self.children and is_work)

    def _work(self, child: Child, room: int, *, begins: bool, how: str = "done") -> None:
        """The usual way, in one go."""
        while self.committed:
            self._publish(0)
        if child.is_idle:
            child.fetched = self._fetcher(child).fetch(room, [QUEUE])
        if not child.is_idle:
            self._claim(child, how)
        for hold in self.holds:
            hold.has_begun |= begins and hold.worker is child.worker and hold.attempt is not None

    def _claim(self, child: Child, how: str) -> None:
        token, ids, is_apart = child.unanswered or (self._id(3), sorted(child.fetched), False)
        child.unanswered = (token, ids, is_apart)
        won = self._ask_for(child, token, ids, is_apart=is_apart)
        if how == "answer_lost":
            return
        if how == "repeated":
            won = self._ask_for(child, token, ids, is_apart=is_apart)
        child.unanswered = None
        self._settle(token, won)
        if how != "not_acknowledged":
            self._acknowledge(child, {w.id for w in won})
        child.fetched = {}

    def _claim_suspect(self, child: Child, how: str) -> bool:
        types = child.worker.types
        found = claim.set_apart(self.conn, [QUEUE], types=types)
        assert list(found) == self.model.set_apart(types)[:10]
        if not found:
            return False
        child.unanswered = (self._id(3), list(found)[:1], True)
        self._claim(child, how)
        return True

    def _ask_for(self, child: Child, token: UUID, ids: Sequence[UUID], *, is_apart: bool) -> list[claim.Claimed]:
        worker, keys = child.worker, {holder: key for key, holder in self.model.keys.items()}
        known = {h.task.id for h in self.holds if h.claim == token}
        won = claim.claim(
            self.conn,
            ids,
            claim=token,
            worker_id=worker.id,
            worker="w:1",
            types=worker.types,
            apart=is_apart,
        ).answer
        expected = self.model.claim(ids, token, worker, apart=is_apart)
        assert {w.id for w in won} == expected
        for work in won:
            task = self.model.tasks[work.id]
            assert (work.attempt, work.failures) == (task.attempt, task.failures)
            if work.id not in known:
                freed = keys.get(work.id) if task.hold == "waiting" else None
                self.holds.append(Hold(task, token, worker, is_apart, freed))
        return won

    def _settle(self, token: UUID, won: Sequence[claim.Claimed]) -> None:
        answers = {w.id: w for w in won}
        for hold in [h for h in self.holds if h.claim == token]:
            work = answers.get(hold.task.id)
            if work is None:
                self.holds.remove(hold)  # it was won the first time, and taken away since
            else:
                hold.attempt, hold.failures = work.attempt, work.failures

    def _acknowledge(self, child: Child, won: set[UUID]) -> None:
        """As the consumer does it: what no live worker runs is put off. What another one runs goes back, and so does
        what is refused because of its queue."""
        missed = [i for i in child.fetched if i not in won]
        refused = claim.refusals(
            self.conn,
            missed,
            types=child.worker.types,
            worker_id=child.worker.id,
            lease=timedelta(seconds=LEASE_SECONDS),
        )
        queued = [t for i in missed if (t := self.model.tasks[i]).state is State.QUEUED]
        expected = {t.id: self.model.refusal(t, child.worker, apart=False) for t in queued}
        told = {r.id: r.reason for r in refused}
        assert told == {i: reason for i, reason in expected.items() if reason != "expired"}
        back = {i for i, reason in told.items() if reason in {"paused", "worker_lost", "elsewhere"}}
        if unknown := [i for i, reason in told.items() if reason == "unknown"]:
            off = put_off(self.conn, unknown, reason="unknown")
            assert sorted(c.task_id for c in off.changes) == sorted(unknown)
            # Jitter has no place in the model's time.
            self.conn.execute(_SET_DUE, {"by": timedelta(seconds=60), "ids": unknown})
            for task_id in unknown:
                self.model.put_off(self.model.tasks[task_id], self.model.now + 60)
        fetcher = self._fetcher(child)
        fetcher.requeue(message for i, fetched in child.fetched.items() if i in back for message in fetched)
        fetcher.acknowledge([message for i, fetched in child.fetched.items() if i not in back for message in fetched])

    @may_happen(
        weight=12,
        when=lambda self: any(h.attempt for h in self.holds),
        n=one_of_them,
        is_stale=st.sampled_from([False, False, False, True]),
        outcome=st.sampled_from(
            [Released("x"), RetryIn(FAULT, timedelta(0)), Succeeded(1), Failed(FAULT), Cancelled()]
        ),
        is_forgotten=st.sampled_from([False, False, True]),
    )
    def finishes(self, n: int, is_stale: bool, outcome: Outcome, is_forgotten: bool) -> None:
        """Where the child does not forget what it had, a stale end, assertion or loss of it comes later."""
        answered = [h for h in self.holds if h.attempt]
        chosen = [h for h in answered if self.model.holds(h.task, h.claim) != is_stale] or answered
        hold = chosen[n % len(chosen)]
        self._report(hold)
        self._finish(hold, outcome)
        if is_forgotten:
            self.holds.remove(hold)

    @may_happen(
        weight=12,
        when=lambda self: self._rivals(),
        n=one_of_them,
        outcome=st.sampled_from([Succeeded(1), RetryIn(FAULT, timedelta(0))]),
    )
    def a_stale_claim_meets_another(self, n: int, outcome: Outcome) -> None:
        """Its task runs elsewhere by now: whatever comes of the old attempt wins nothing."""
        rivals = self._rivals()
        hold = rivals[n % len(rivals)]
        self._report(hold)
        self._lose([Lost(hold.task.id, hold.claim, Guilt.GUILTY, "killed")])
        self._finish(hold, outcome)

    def _rivals(self) -> list[Hold]:
        stale = [h for h in self.holds if h.attempt and h.task.claim != h.claim]
        return [h for h in stale if h.task.state is State.RUNNING]

    def _report(self, hold: Hold) -> None:
        told = progress.progress(self.conn, [progress.Progress(hold.task.id, hold.claim, 1.0)]).answer
        assert told.keys() == ({hold.task.id} if self.model.holds(hold.task, hold.claim) else set())

    def _finish(self, hold: Hold, outcome: Outcome) -> None:
        if isinstance(outcome, RetryIn):
            is_last = hold.failures + 1 >= hold.task.max_attempts
            outcome = Failed(FAULT) if is_last else RetryIn(FAULT, timedelta(seconds=60))
        end = Finished(hold.task.id, hold.claim, outcome, 0.5)
        recorded = finish.finish(self.conn, [end])
        is_won = self.model.finish(hold.task, hold.claim, outcome)
        assert [(c.task_id, c.state) for c in recorded.changes] == ([(hold.task.id, hold.task.state)] if is_won else [])
        self._announce(recorded)

    def _assert_claims(self, child: Child) -> None:
        # Of two claims of one task only the newest is in the child's hands.
        latest = {h.task.id: h for h in self.holds if h.worker is child.worker and h.attempt}
        said = [Assertion(h.task.id, h.claim, h.attempt or 0, "w:1") for h in latest.values()]
        found = assert_claims(self.conn, said, worker_id=child.worker.id).answer
        expected = {
            h.task.id for h in latest.values() if self.model.asserts(h.task, h.claim, h.attempt or 0, child.worker)
        }
        assert found == expected
        for task_id in found:
            assert latest[task_id].was_forgotten, "only what PostgreSQL forgot can be said again"

    @may_happen(weight=4, when=lambda self: any(h.attempt for h in self.holds))
    def children_assert_their_claims(self) -> None:
        for child in self.children:
            self._assert_claims(child)

    @may_happen(weight=3, when=lambda self: self.children, n=one_of_them)
    def beats(self, n: int) -> None:
        """The supervisor says what runs; what the ledger holds for it and nobody has, two beats long, is released.
        Its child gives back what an answer that got lost left as fetched."""
        child = self._child(n)
        if not child.fetched:
            fetcher = self._fetcher(child)
            fetcher.doubt()
            fetcher.sweep()
        worker = child.worker
        mine = [h for h in self.holds if h.worker is worker]
        begun = frozenset(h.task.id for h in mine if h.has_begun)
        asked = workers.beat(self.conn, workers.Beat(worker_id=worker.id, begun=sorted(begun)))
        lives = asked is not None
        assert lives == (not worker.is_over)
        if not lives:
            return
        self.model.beat(worker, begun)
        held = workers.held(self.conn, worker.id)
        running = {t.id: t for t in self.model.tasks.values() if t.worker == worker.id}
        assert {h.task_id: h.claim for h in held} == {i: t.claim for i, t in running.items()}
        ours = {(h.task.id, h.claim) for h in mine}
        unheld = {h.task_id for h in held if (h.task_id, h.claim) not in ours}
        for task_id in sorted(unheld & child.unheld):
            self._release(running[task_id])
        child.unheld = unheld - child.unheld

    def _release(self, task: Task) -> None:
        assert task.claim is not None
        recorded = finish.finish(self.conn, [Finished(task.id, task.claim, Released("nobody held the claim"))])
        self.model.finish(task, task.claim, Released(""))
        self._announce(recorded)

    @may_happen(
        weight=8,
        when=lambda self: self.holds and self.children,
        n=one_of_them,
        is_apart=st.sampled_from([False, False, True]),
        times_told=st.sampled_from([1, 1, 2, 0]),
        displaced=st.sampled_from([None, None, Guilt.DISPLACED, Guilt.ALIKE]),
    )
    def a_child_dies(self, n: int, is_apart: bool, times_told: int, displaced: Guilt | None) -> None:
        """Its supervisor may tell the ledger twice, where an answer got lost, or be kept from telling it; or it killed
        the child for another task's sake."""
        busy = [c for c in self.children if any(h.worker is c.worker for h in self.holds)] or self.children
        child = busy[n % len(busy)]
        holds = [h for h in self.holds if h.worker is child.worker and h.is_apart == is_apart]
        begun = sum(h.has_begun for h in holds)
        guilt = displaced or Guilt.of_begun(begun)
        others = Guilt.DISPLACED if begun else Guilt.INNOCENT
        lost = [Lost(h.task.id, h.claim, guilt if h.has_begun else others, "killed") for h in holds]
        for _ in range(times_told):
            self._lose(lost)
        self._forget(child, holds)
        if child.unanswered is not None and child.unanswered[2] == is_apart:
            child.unanswered = None

    @may_happen(weight=6, when=lambda self: self._suspects_to_take())
    def a_suspect_is_suspected_again(self) -> None:
        """What died with it was not its own child alone: an attempt that had been fenced ran there still."""
        child = self._suspects_to_take()[0]
        self._claim_suspect(child, "done")
        hold = self.holds.pop()
        self._lose([Lost(hold.task.id, hold.claim, Guilt.SUSPECT, "killed")])

    def _suspects_to_take(self) -> list[Child]:
        idle = [c for c in self.children if c.is_idle and not c.worker.is_over]
        return [c for c in idle if self.model.set_apart(c.worker.types)]

    def _lose(self, lost: Sequence[Lost]) -> None:
        recorded = rescue.lose(self.conn, lost, crash_limit=self.model.crash_limit)
        won = {x.task_id for x in lost if self.model.lose(self.model.tasks[x.task_id], x.claim, x.guilt)}
        assert {c.task_id for c in recorded.changes} == won
        self._announce(recorded)

    def _forget(self, child: Child, holds: Iterable[Hold]) -> None:
        """Another process takes the place of the one that died with what it had fetched."""
        for hold in list(holds):
            self.holds.remove(hold)
        self._forget_fetched(child)
        child.fetched, child.broker = {}, self.servers.broker()
        if child.unanswered is not None and not child.unanswered[2]:
            child.unanswered = None

    def _forget_fetched(self, child: Child) -> None:
        """Its last sign of life is long ago, so that Dramatiq's maintenance gives back what it had fetched."""
        heartbeats = f"{self.leader.names.namespace}:__heartbeats__"
        self.leader.client.zadd(heartbeats, {child.broker.broker_id: 0}, xx=True)

    @may_happen(when=lambda self: self.children, n=one_of_them, how=st.sampled_from(["in_order", "cut_off", "died"]))
    def a_worker_ends(self, n: int, how: str) -> None:
        """Cut off: it signed off without having given back what it held."""
        child = self._child(n)
        if how == "in_order":
            for held in workers.held(self.conn, child.worker.id):
                self._release(self.model.tasks[held.task_id])
        if how != "died":
            workers.retire(self.conn, child.worker.id)
            child.worker.is_over, child.worker.has_stopped, child.worker.begun = True, True, frozenset()
        self._end(child)

    def _end(self, child: Child) -> None:
        self._forget(child, [h for h in self.holds if h.worker is child.worker])
        self.children.remove(child)

    @may_happen(weight=4, when=lambda self: self.holds, n=one_of_them, and_promotion=yes_or_no, outbox_too=yes_or_no)
    def postgresql_forgets_a_claim(self, n: int, and_promotion: bool, outbox_too: bool) -> None:
        """As a failover does to its newest commits: the deletion of the outbox row may be among them."""
        held = [h for h in self.holds if self.model.holds(h.task, h.claim)]
        if not held:
            return
        hold = held[n % len(held)]
        key = hold.freed_key
        if key in self.model.keys:
            return  # the submit that took it would be lost, too
        task, and_promotion = hold.task, and_promotion and hold.task.promoted_from is not None
        self.conn.execute(_FORGET_CLAIM, {"id": task.id})
        if and_promotion:
            self.conn.execute(_FORGET_PROMOTION, {"id": task.id, "state": task.promoted_from})
        elif outbox_too:
            self.conn.execute(sa.text("INSERT INTO outbox (task_ids) VALUES (ARRAY[:id])"), {"id": task.id})
        if key is not None:
            self.conn.execute(
                sa.text("INSERT INTO unique_key (name, key, task_id, hold) VALUES (:name, :key, :id, 'waiting')"),
                {"name": task.name, "key": key.partition("/")[2], "id": task.id},
            )
        self.model.forget_claim(task, key, and_promotion=and_promotion)
        hold.was_forgotten, self.forgotten = True, task.id
