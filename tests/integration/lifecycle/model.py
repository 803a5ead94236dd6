"""What the lifecycle promises, as a few lines of Python over plain objects: the model that the stateful test
holds the ledger against.

Time is the model's own: seconds that pass when told to, all of them multiples of a minute, so that the moments
that a test really takes never decide anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from taskyard.domain.tasks import FINAL, Cancelled, Failed, Outcome, Released, RetryIn, State, Succeeded
from taskyard.lifecycle.rescue import Guilt


@dataclass
class Task:
    id: UUID
    name: str
    version: int
    max_attempts: int
    state: State
    publication: int
    due: float
    expires: float | None = None
    follows_cancel: bool = True
    parent: UUID | None = None
    hold: str | None = None
    promoted_from: State | None = None
    """Where it was before it was queued, if a promotion queued it."""
    claim: UUID | None = None
    worker: UUID | None = None
    is_fresh: bool = False
    """Claimed since its worker's last beat, which could not tell whether it began."""
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    suspicions: int = 0
    displacements: int = 0
    put_offs: int = 0
    is_cancel_requested: bool = False
    successes: int = 0

    def row(self) -> tuple[object, ...]:
        """What the ledger must hold of it."""
        return (
            *(self.state, self.attempt, self.claim, self.worker, self.failures, self.crashes),
            *(self.suspicions, self.displacements, self.put_offs, self.publication, self.is_cancel_requested),
        )

    @property
    def is_apart(self) -> bool:
        return bool(self.suspicions or self.crashes or self.displacements)

    @property
    def is_alone(self) -> bool:
        return bool(self.suspicions or self.crashes or self.displacements > 1)


def runs(types: Mapping[str, int], task: Task) -> bool:
    """A lower version is upgraded, a higher one is not understood."""
    return task.version <= types.get(task.name, 0)


@dataclass
class Worker:
    id: UUID
    types: Mapping[str, int]
    """The version that it runs of each."""
    beat_at: float
    begun: frozenset[UUID] = frozenset()
    is_over: bool = False
    """Lost or stopped: it wins no claim any more."""
    has_stopped: bool = False


@dataclass
class Model:
    crash_limit: int
    max_suspicions: int
    lease: float
    now: float = 0.0
    is_paused: bool = False
    tasks: dict[UUID, Task] = field(default_factory=dict)
    workers: dict[UUID, Worker] = field(default_factory=dict)
    keys: dict[str, UUID] = field(default_factory=dict)

    def submit(self, task: Task, key: str | None = None) -> bool:
        """Whether it is accepted; who was accepted before is again, and nothing happens."""
        if task.id in self.tasks:
            return True
        if key is not None:
            if key in self.keys:
                return False
            self.keys[key] = task.id
        self.tasks[task.id] = task
        return True

    def claim(self, ids: Iterable[UUID], claim: UUID, worker: Worker, *, apart: bool) -> set[UUID]:
        won = set()
        for task in map(self.tasks.__getitem__, ids):
            if worker.is_over:
                continue
            if task.claim == claim:
                task.is_fresh = True
                won.add(task.id)
            elif task.state is State.QUEUED and not self.refusal(task, worker, apart=apart):
                self.begin(task, claim, worker)
                won.add(task.id)
        return won

    def refusal(self, task: Task, worker: Worker, *, apart: bool) -> str | None:
        """Why this worker does not get a queued task."""
        if worker.is_over:
            return "worker_lost"
        if self.is_paused:
            return "paused"
        if not runs(worker.types, task):
            lives = (w for w in self.workers.values() if not w.is_over and w.beat_at > self.now - self.lease)
            return "elsewhere" if any(runs(w.types, task) for w in lives) else "unknown"
        if task.is_apart and not apart:
            return "apart"
        return "expired" if self.is_expired(task) else None

    def begin(self, task: Task, claim: UUID, worker: Worker) -> None:
        task.state, task.claim, task.worker = State.RUNNING, claim, worker.id
        task.is_fresh = True
        task.attempt += 1
        if task.hold == "waiting":
            self.free(task)

    def asserts(self, task: Task, claim: UUID, attempt: int, worker: Worker) -> bool:
        lives = task.state in {State.QUEUED, State.SCHEDULED, State.RETRYING, State.RUNNING}
        if worker.is_over or not lives or task.attempt >= attempt:
            return False
        self.begin(task, claim, worker)
        task.attempt = attempt
        return True

    def holds(self, task: Task, claim: UUID) -> bool:
        return task.state is State.RUNNING and task.claim == claim

    def finish(self, task: Task, claim: UUID, outcome: Outcome) -> bool:
        if not self.holds(task, claim):
            return False
        task.failures += isinstance(outcome, Failed | RetryIn)
        if isinstance(outcome, Succeeded):
            task.successes += 1
            self._end(task, State.SUCCEEDED)
        elif task.is_cancel_requested or isinstance(outcome, Cancelled):
            self._end(task, State.CANCELLED)
        elif isinstance(outcome, RetryIn):
            self._leave(task, State.RETRYING)
            task.due = self.now + outcome.delay.total_seconds()
        elif isinstance(outcome, Released):
            self._queue(task)
        else:
            self._end(task, State.FAILED)
        return True

    def lose(self, task: Task, claim: UUID, guilt: Guilt) -> bool:
        if not self.holds(task, claim):
            return False
        is_suspect = guilt is Guilt.SUSPECT and task.suspicions < self.max_suspicions
        is_guilty = guilt is Guilt.GUILTY or (guilt is Guilt.SUSPECT and not is_suspect)
        task.displacements += {Guilt.DISPLACED: 1, Guilt.ALIKE: 2}.get(guilt, 0)
        task.suspicions += is_suspect
        task.crashes += is_guilty
        if task.is_cancel_requested:
            self._end(task, State.CANCELLED)
        elif is_guilty and task.crashes >= self.crash_limit:
            self._end(task, State.FAILED)
        else:
            self._queue(task)
        return True

    def cancel(self, task: Task) -> None:
        if task.state in FINAL:
            return
        task.is_cancel_requested = True
        if task.state is not State.RUNNING:
            self._end(task, State.CANCELLED)

    def cancel_with_descendants(self, task: Task) -> None:
        self.cancel(task)
        if task.follows_cancel:
            for child in [t for t in self.tasks.values() if t.parent == task.id]:
                self.cancel_with_descendants(child)

    def retry(self, task: Task, life: float) -> bool:
        if task.state not in {State.FAILED, State.CANCELLED}:
            return False
        task.failures = task.crashes = task.suspicions = task.displacements = task.put_offs = 0
        task.is_cancel_requested = False
        if self.is_expired(task):
            task.expires = self.now + life
        self._queue(task)
        return True

    def put_off(self, task: Task, due: float) -> None:
        task.put_offs += 1
        task.due = due
        self._leave(task, State.SCHEDULED)

    def take_up(self, types: Mapping[str, int]) -> int:
        """Whoever put it off, and however long its wait would still be."""
        found = [t for t in self.tasks.values() if t.state is State.SCHEDULED and t.put_offs and runs(types, t)]
        for task in found:
            self._queue(task)
            task.promoted_from = State.SCHEDULED
        return len(found)

    def promote_and_expire(self) -> None:
        for task in self.tasks.values():
            if (before := task.state) in {State.SCHEDULED, State.RETRYING} and task.due <= self.now:
                self._queue(task)
                task.promoted_from = before
            if task.state not in {State.RUNNING, *FINAL} and self.is_expired(task):
                self._end(task, State.FAILED)

    def beat(self, worker: Worker, begun: frozenset[UUID]) -> None:
        worker.beat_at, worker.begun = self.now, begun
        for task in self.tasks.values():
            task.is_fresh &= task.worker != worker.id

    def rescue(self) -> None:
        for worker in self.workers.values():
            worker.is_over |= worker.beat_at < self.now - self.lease
        lost = [t for t in self.tasks.values() if t.worker and self.workers[t.worker].is_over]
        for task, guilt in [(task, self.guilt(task)) for task in lost]:
            assert task.claim
            self.lose(task, task.claim, guilt)

    def guilt(self, task: Task) -> Guilt:
        """Of a task whose worker is over."""
        assert task.worker
        worker = self.workers[task.worker]
        ran = set(worker.begun)
        if not worker.has_stopped:
            ran |= {t.id for t in self.tasks.values() if t.worker == worker.id and t.is_fresh}
        if task.id not in ran:
            return Guilt.INNOCENT
        is_sure = task.id in worker.begun or task.suspicions > 0
        return Guilt.of_begun(len(ran)) if is_sure else Guilt.SUSPECT

    def forget_claim(self, task: Task, key: str | None, *, and_promotion: bool) -> None:
        """PostgreSQL lost the commit of the claim, what was written to the row since, and maybe the promotion
        before it."""
        task.attempt -= 1
        task.is_cancel_requested = False
        if key is not None:
            self.keys[key] = task.id
        self._leave(task, State.QUEUED)
        if and_promotion and task.promoted_from is not None:
            task.publication -= 1
            self._leave(task, task.promoted_from)
            task.promoted_from = None

    def is_expired(self, task: Task) -> bool:
        return task.expires is not None and task.expires <= self.now

    def free(self, task: Task) -> None:
        self.keys = {key: holder for key, holder in self.keys.items() if holder != task.id}

    def set_apart(self, types: Mapping[str, int]) -> list[UUID]:
        """The least suspicious first; of those the types take turns, each in the order of submission, which is that of
        the ids here."""
        turns: Counter[tuple[bool, bool, bool, str]] = Counter()
        found = []
        for t in self.tasks.values():
            if t.state is State.QUEUED and t.is_apart and runs(types, t) and not self.is_expired(t):
                by_fault = (t.is_alone, t.crashes > 0, t.suspicions == 0)
                turns[(*by_fault, t.name)] += 1
                found.append((*by_fault, turns[(*by_fault, t.name)], t.id))
        return [] if self.is_paused else [task_id for *_, task_id in sorted(found)]

    def _queue(self, task: Task) -> None:
        self._leave(task, State.QUEUED)
        task.publication += 1
        task.promoted_from = None

    def _leave(self, task: Task, state: State) -> None:
        task.state, task.claim, task.worker = state, None, None

    def _end(self, task: Task, state: State) -> None:
        self._leave(task, state)
        self.free(task)
