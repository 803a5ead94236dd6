"""The supervisor's dealings with the ledger, in a thread of their own: the supervisor itself never waits
for a server.

Beats, the record of what died with a child or had to be ended, and the comparison of the rows that PostgreSQL
holds for this worker with the claims its children hold: what nobody holds is released, what PostgreSQL forgot
in a failover is asserted, what somebody wants cancelled is handed to the supervisor.
"""

from __future__ import annotations

import math
import os
import queue
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from sqlalchemy import Engine

from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Change, Released, State
from taskyard.failpoints import failpoint
from taskyard.lifecycle import workers
from taskyard.lifecycle.assertion import Assertion, assert_claims
from taskyard.lifecycle.claim import suspects
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.lifecycle.finish import Finished, Recorded, finish
from taskyard.lifecycle.rescue import Guilt, Lost, lose
from taskyard.lifecycle.workers import Beat, Held, WorkerInfo
from taskyard.settings import Settings
from taskyard.store import ledger
from taskyard.telemetry.metrics import Dependency
from taskyard.version import __version__

from .verdict import Verdict

log = structlog.stdlib.get_logger(__name__)


class Counts(Protocol):
    """Told what was taken back, for metrics."""

    def lost(self, items: Sequence[Lost], changes: Sequence[Change]) -> None: ...

    def recovered(self, cause: str, tasks: int) -> None: ...

    def condemned(self, verdict: Verdict, changes: Sequence[Change]) -> None: ...


class Worker(Protocol):
    """What the recorder asks of the supervisor, and tells it, from its own thread."""

    def standing(self, worker_id: UUID) -> Beat:
        """The content of a heartbeat."""
        ...

    def claims(self) -> Sequence[Assertion]:
        """Every claim that a child holds; the attempt is 0 where it is not known yet."""
        ...

    def give_up(self) -> None:
        """The ledger took this worker for dead."""
        ...

    def cancel(self, keys: Collection[tuple[UUID, UUID]]) -> None:
        """Somebody asked for the end of these (task, claim)."""
        ...

    def suspects(self, tasks: int) -> None:
        """So many tasks, or more, wait to run alone."""
        ...


class Recorder:
    """`register` once; then beats, and whatever it is given, until `stop`."""

    def __init__(
        self,
        engine: Engine,
        dispatcher: Dispatcher,
        settings: Settings,
        *,
        queues: Sequence[str],
        task_types: Sequence[str],
        worker: Worker,
        counts: Counts,
        salvage: Callable[[str], None],
        database: Dependency | None = None,
    ) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._settings = settings
        self._queues = list(queues)
        self._types = list(task_types)
        self._worker = worker
        self._counts = counts
        self._salvage = salvage
        self._database = database
        self._given: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._jobs: deque[Callable[[], None]] = deque()
        self._unheld: set[tuple[UUID, UUID]] = set()
        self._awaited: set[tuple[UUID, UUID]] = set()  # whose end is on its way to the ledger
        self._looking = threading.Event()
        self.worker_id = new_id()
        self._registered = threading.Event()
        self._stop_by = math.inf
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    @property
    def name(self) -> str:
        return f"{socket.gethostname()}-{self.worker_id.hex[-4:]}"

    def register(self) -> None:
        """Makes the row without which no claim is won. Raises LedgerUnavailable."""
        info = WorkerInfo(
            id=self.worker_id,
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            queues=self._queues,
            task_types=self._types,
            processes=self._settings.worker_processes.maximum,
            threads=self._settings.worker_threads,
        )

        def made(conn: object) -> None:
            workers.ensure_queues(conn, self._queues)  # type: ignore[arg-type]
            workers.register(conn, info)  # type: ignore[arg-type]

        ledger.run_transaction(self._engine, made)
        self._registered.set()

    @property
    def is_registered(self) -> bool:
        """Whether the ledger knows this worker, as far as we know."""
        return self._registered.is_set()

    def renew(self) -> None:
        """After it was given up: registers another identity, as soon as the ledger answers. The old one's
        rows are rescued by the scheduler."""
        self.worker_id = new_id()
        self._unheld = set()
        self._given.put(self.register)

    def start(self) -> None:
        self._thread.start()

    def lost(self, cause: str, items: list[Lost]) -> None:
        """Records what died with a child, as soon as the ledger answers."""
        self._awaited.update((item.task_id, item.claim) for item in items)
        self._given.put(partial(self._lose, cause, items))

    def salvage(self, inbox: str) -> None:
        """Has what a child had fetched from Redis, and not claimed, put back."""
        self._given.put(partial(self._salvage, inbox))

    def condemn(self, verdict: Verdict) -> None:
        """Records what an attempt came to that did not end by itself."""
        self._awaited.add((verdict.task_id, verdict.claim))
        self._given.put(partial(self._condemn, verdict, time.monotonic()))

    def look(self) -> None:
        """Compares with the ledger before the next beat: something there may concern us."""
        if not self._looking.is_set():
            self._looking.set()
            self._given.put(self._look)

    def stop(self, timeout: float) -> None:
        """Records what is left, gives back what the ledger still holds for us, and signs off; gives up on
        that after `timeout` seconds."""
        self._stop_by = time.monotonic() + timeout
        self._given.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        beat_at = again_at = time.monotonic()
        pause = 0.0
        while True:
            wanted_at = min(beat_at, again_at) if self._jobs else beat_at
            try:
                job = self._given.get(timeout=max(0.0, wanted_at - time.monotonic()))
                if job is None:
                    break
                self._jobs.append(job)
            except queue.Empty:
                pass
            # A job that cannot be done yet must not keep us from saying that we live.
            if self._jobs and time.monotonic() >= again_at:
                pause = 0.0 if self._attempt(self._do_next) else min(max(0.1, pause * 2), 2.0)
                again_at = time.monotonic() + pause * random.uniform(0.5, 1.0)
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + self._settings.heartbeat_seconds * random.uniform(0.9, 1.0)
                if self.is_registered:
                    self._attempt(self._beat)
        while not self._attempt(self._sign_off):
            if time.monotonic() > self._stop_by - 1.0:
                log.warning("sign_off_failed: the scheduler will rescue what is left")
                return
            time.sleep(0.5)

    def _attempt(self, step: Callable[[], None]) -> bool:
        try:
            with self._database.watched(LedgerUnavailable) if self._database is not None else nullcontext():
                step()
        except LedgerUnavailable as e:
            log.warning("ledger_unavailable", what="recorder", error=str(e))
            return False
        except Exception:
            log.exception("recorder_step_failed")
            return False
        return True

    def _do_next(self) -> None:
        job = self._jobs.popleft()
        try:
            job()
        except LedgerUnavailable:
            self._jobs.append(job)
            raise
        except Exception:
            self._jobs.append(job)  # behind the others: whatever is wrong with it may not be with them
            self._awaited.clear()  # nor may their claims wait for it: nobody holds them
            raise

    def _beat(self) -> None:
        beat = self._worker.standing(self.worker_id)
        if not ledger.run(self._engine, lambda conn: workers.beat(conn, beat)):
            log.error("worker_given_up", worker_id=str(self.worker_id))
            self._registered.clear()
            self._worker.give_up()
            return
        held = self._compare()
        unheld = {(h.task_id, h.claim) for h in held} - self._ours() - self._awaited.copy()
        twice = unheld & self._unheld
        self._unheld = unheld - twice
        if twice:
            log.warning("claims_released_unheld", tasks=len(twice))
            self._counts.recovered("unheld", len(twice))
            self._release([h for h in held if (h.task_id, h.claim) in twice], "nobody held the claim")

    def _compare(self) -> Sequence[Held]:
        """What PostgreSQL holds for us, after a look at all that may concern us there."""
        before = [claim for claim in self._worker.claims() if claim.attempt]
        held = ledger.run(self._engine, lambda conn: workers.held(conn, self.worker_id))
        known = {(h.task_id, h.claim) for h in held}
        # Also what was recorded a moment ago: of that nothing can be asserted.
        if forgotten := [claim for claim in before if (claim.task_id, claim.claim) not in known]:
            write = partial(assert_claims, claims=forgotten, worker_id=self.worker_id)
            if back := ledger.run(self._engine, write):
                log.warning("claims_asserted", tasks=len(back))
                self._counts.recovered("asserted", len(back))
        if wanted := {(h.task_id, h.claim) for h in held if h.cancel_requested}:
            self._worker.cancel(wanted)
        ask = partial(suspects, queues=self._queues, types=self._types)
        self._worker.suspects(len(ledger.run(self._engine, ask)))
        return held

    def _ours(self) -> set[tuple[UUID, UUID]]:
        return {(claim.task_id, claim.claim) for claim in self._worker.claims()}

    def _look(self) -> None:
        self._looking.clear()
        if self.is_registered:
            self._compare()

    def _condemn(self, verdict: Verdict, since: float) -> None:
        late = time.monotonic() - since
        end = Finished(verdict.task_id, verdict.claim, verdict.outcome, verdict.run_seconds, late)
        result = ledger.run(self._engine, lambda conn: finish(conn, [end]))
        self._awaited.discard((verdict.task_id, verdict.claim))
        self._counts.condemned(verdict, result.changes)
        self._tell(result)

    def _lose(self, cause: str, items: list[Lost]) -> None:
        failpoint("lose.before")
        result = ledger.run(self._engine, lambda conn: lose(conn, items, crash_limit=self._settings.crash_limit))
        self._awaited.difference_update((item.task_id, item.claim) for item in items)
        failpoint("lose.after")
        log.warning("attempts_lost", cause=cause, held=len(items), recorded=len(result.changes))
        self._counts.lost(items, result.changes)
        self._counts.recovered("child", len(result.changes))
        self._tell(result)
        if any(item.guilt is Guilt.SUSPECT for item in items):
            self.look()

    def _release(self, held: Sequence[Held], cause: str) -> None:
        ends = [Finished(h.task_id, h.claim, Released(cause)) for h in held]
        self._tell(ledger.run(self._engine, lambda conn: finish(conn, ends)))

    def _sign_off(self) -> None:
        while not self._given.empty():
            job = self._given.get()
            if job is not None:
                self._jobs.append(job)
        while self._jobs:
            self._do_next()
        held = ledger.run(self._engine, lambda conn: workers.held(conn, self.worker_id))
        if held:
            self._release(held, "the worker stopped")
        ledger.run(self._engine, lambda conn: workers.retire(conn, self.worker_id))

    def _tell(self, result: Recorded) -> None:
        later = any(change.state is State.RETRYING for change in result.changes)
        self._dispatcher.dispatch(
            Committed(result.publications, result.outbox_id, result.changes, wake_scheduler=later)
        )
