"""The supervisor's dealings with the ledger, in a thread of their own: the supervisor itself never waits
for a server.

Beats, the record of what died with a child, and the comparison of the rows that PostgreSQL holds for this
worker with the claims its children hold.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol
from uuid import UUID, uuid4

from sqlalchemy import Engine

from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.tasks import Change, Released
from taskyard.lifecycle import workers
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.lifecycle.finish import Finished, Recorded, finish
from taskyard.lifecycle.rescue import Lost, lose
from taskyard.lifecycle.workers import Beat, Held, WorkerInfo
from taskyard.settings import Settings
from taskyard.store import engine as ledger
from taskyard.version import __version__

log = logging.getLogger(__name__)


class Counts(Protocol):
    """Told what was taken back, for metrics."""

    def lost(self, items: Sequence[Lost], changes: Sequence[Change]) -> None: ...

    def recovered(self, cause: str, tasks: int) -> None: ...


class Recorder:
    """`standing` gives the beat's content, `claims` all (task, claim) pairs that children hold; `given_up`
    is called where the ledger took this worker for dead."""

    def __init__(
        self,
        engine: Engine,
        dispatcher: Dispatcher,
        settings: Settings,
        *,
        queues: Sequence[str],
        task_types: Sequence[str],
        standing: Callable[[UUID], Beat],
        claims: Callable[[], set[tuple[UUID, UUID]]],
        given_up: Callable[[], None],
        counts: Counts,
    ) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._settings = settings
        self._queues = list(queues)
        self._types = list(task_types)
        self._standing = standing
        self._claims = claims
        self._given_up = given_up
        self._counts = counts
        self._jobs: queue.SimpleQueue[tuple[str, list[Lost]] | None] = queue.SimpleQueue()
        self._unheld: set[tuple[UUID, UUID]] = set()
        self.worker_id = uuid4()
        self._stopping = threading.Event()
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
            processes=self._settings.worker_processes,
            threads=self._settings.worker_threads,
        )

        def made(conn: object) -> None:
            workers.ensure_queues(conn, self._queues)  # type: ignore[arg-type]
            workers.register(conn, info)  # type: ignore[arg-type]

        ledger.run_transaction(self._engine, made)

    def renew(self) -> None:
        """After it was given up: another identity. The old one's rows are rescued by the scheduler."""
        self.worker_id = uuid4()
        self._unheld = set()
        self._patiently(self.register)

    def start(self) -> None:
        self._thread.start()

    def lost(self, cause: str, items: list[Lost]) -> None:
        """Records what died with a child, as soon as the ledger answers."""
        self._jobs.put((cause, items))

    def stop(self, timeout: float) -> None:
        """Records what is left, gives back what the ledger still holds for us, and signs off."""
        self._stopping.set()
        self._jobs.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        beat_at = time.monotonic()
        while True:
            try:
                job = self._jobs.get(timeout=max(0.0, beat_at - time.monotonic()))
                if job is None:
                    break
                self._patiently(partial(self._lose, *job))
                continue
            except queue.Empty:
                pass
            beat_at = time.monotonic() + self._settings.heartbeat_seconds * random.uniform(0.9, 1.0)
            try:
                self._beat()
            except LedgerUnavailable as e:
                log.warning("ledger_unavailable what=beat error=%s", e)
            except Exception:
                log.exception("beat_failed")
        try:
            self._sign_off()
        except LedgerUnavailable as e:
            log.warning(
                "ledger_unavailable what=sign_off error=%s: the scheduler will rescue what is left", e
            )

    def _beat(self) -> None:
        beat = self._standing(self.worker_id)
        if not ledger.run(self._engine, lambda conn: workers.beat(conn, beat)):
            log.error("worker_given_up worker_id=%s", self.worker_id)
            self._given_up()
            return
        held = ledger.run(self._engine, lambda conn: workers.held(conn, self.worker_id))
        ours = self._claims()
        unheld = {(h.task_id, h.claim) for h in held} - ours
        twice = unheld & self._unheld
        self._unheld = unheld - twice
        if twice:
            log.warning("claims_released_unheld tasks=%d", len(twice))
            self._counts.recovered("unheld", len(twice))
            self._release([h for h in held if (h.task_id, h.claim) in twice], "nobody held the claim")

    def _lose(self, cause: str, items: list[Lost]) -> None:
        result = ledger.run(
            self._engine, lambda conn: lose(conn, items, crash_limit=self._settings.crash_limit)
        )
        log.warning("attempts_lost cause=%r held=%d recorded=%d", cause, len(items), len(result.changes))
        self._counts.lost(items, result.changes)
        self._counts.recovered("child", len(result.changes))
        self._tell(result)

    def _release(self, held: Sequence[Held], cause: str) -> None:
        ends = [Finished(h.task_id, h.claim, Released(cause)) for h in held]
        self._tell(ledger.run(self._engine, lambda conn: finish(conn, ends)))

    def _sign_off(self) -> None:
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                self._lose(*job)
        held = ledger.run(self._engine, lambda conn: workers.held(conn, self.worker_id))
        if held:
            self._release(held, "the worker stopped")
        ledger.run(self._engine, lambda conn: workers.retire(conn, self.worker_id))

    def _tell(self, result: Recorded) -> None:
        self._dispatcher.dispatch(Committed(result.publications, result.outbox_id, result.changes))

    def _patiently(self, step: Callable[[], None]) -> None:
        pause = 0.1
        while not self._stopping.is_set():
            try:
                return step()
            except LedgerUnavailable as e:
                log.warning("ledger_unavailable what=recorder error=%s", e)
            except Exception:
                log.exception("recorder_step_failed")
            self._stopping.wait(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 2.0)
        return None
