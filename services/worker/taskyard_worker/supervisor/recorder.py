"""The recorder: the supervisor's thread for the ledger. The main thread hands jobs to it and never waits for a server.

It beats, and between the beats it does its jobs in order: it records what died with a child or was ended by force, has
fetched messages put back, and registers the worker anew, or its task types. A job that fails is tried again, after a
pause and behind the others: what fails it may not concern them.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import structlog

from taskyard.backoff import Backoff, spread
from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle.rescue import Guilt, Lost
from taskyard.telemetry.metrics import Dependency

from .claims import WorkerClaims
from .handle import ForcedEnd
from .registration import Registration
from .requests import Key

log = structlog.stdlib.get_logger(__name__)

Job = Callable[[], None]

_SIGN_OFF_PAUSE_SECONDS = 0.5


class Recorder:
    """`requeue_fetched` puts back what a dead child had fetched from Redis under an id."""

    def __init__(
        self,
        registration: Registration,
        claims: WorkerClaims,
        *,
        heartbeat_seconds: float,
        requeue_fetched: Callable[[str], None],
        database: Dependency,
    ) -> None:
        self._registration = registration
        self._claims = claims
        self._heartbeat_seconds = heartbeat_seconds
        self._requeue_fetched = requeue_fetched
        self._database = database
        self._given: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._jobs: deque[Job] = deque()
        self._being_recorded: set[Key] = set()
        self._looking = threading.Event()
        self._takes_up_again = False
        self._backoff = Backoff(0.1, 2.0)
        self._again_at = self._beat_at = 0.0
        self._stop_by = math.inf
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    # From the main thread

    def start(self) -> None:
        self._thread.start()

    def renew(self) -> None:
        """Registers another identity, as soon as the ledger answers."""
        self._registration.renew()
        self._given.put(self._register)

    def register_types(self) -> None:
        """Writes the task types of the worker, which have changed."""
        self._given.put(self._register_types)

    def lost(self, cause: str, items: list[Lost]) -> None:
        """Records what died with a child."""
        self._being_recorded.update((item.task_id, item.claim) for item in items)
        self._given.put(partial(self._lose, cause, items))

    def forced(self, end: ForcedEnd) -> None:
        """Records an attempt that was ended by force."""
        self._being_recorded.add((end.task_id, end.claim))
        self._given.put(partial(self._force, end, time.monotonic()))

    def requeue_fetched(self, fetcher_id: str) -> None:
        """Has what a dead child had fetched from Redis and not claimed put back."""
        self._given.put(partial(self._requeue_fetched, fetcher_id))

    def look(self) -> None:
        """Compares with the ledger before the next beat: something there may concern this worker."""
        if not self._looking.is_set():
            self._looking.set()
            self._given.put(self._look)

    def tell(self) -> None:
        """Has the ledger know before the next beat that the worker stops: nothing that it would not do any more is to
        be asked of it. It is no beat: two in quick succession would take back claims that are just being won."""
        self._given.put(self._tell)

    def stop(self, timeout: float) -> None:
        """Records what is left, gives back what the ledger still holds for this worker, and signs off; gives up on
        that after `timeout` seconds."""
        self._stop_by = time.monotonic() + timeout
        self._given.put(None)
        self._thread.join(timeout)

    # The thread

    def _run(self) -> None:
        while self._wait_for_jobs():
            # A job that cannot be done yet must not delay a beat.
            if self._jobs and time.monotonic() >= self._again_at:
                if self._attempt(self._do_next):
                    self._backoff.reset()
                else:
                    self._again_at = time.monotonic() + self._backoff.next()
            if time.monotonic() >= self._beat_at:
                self._beat_at = time.monotonic() + spread(self._heartbeat_seconds, floor=0.9)
                if self._registration.is_registered:
                    self._attempt(self._beat)
        while not self._attempt(self._sign_off):
            if time.monotonic() > self._stop_by - 1.0:
                log.warning("sign_off_failed: the scheduler will rescue what is left")
                return
            time.sleep(_SIGN_OFF_PAUSE_SECONDS)

    def _wait_for_jobs(self) -> bool:
        """Until a job comes, or something is due; False once the thread is to stop."""
        due_at = min(self._beat_at, self._again_at) if self._jobs else self._beat_at
        try:
            job = self._given.get(timeout=max(0.0, due_at - time.monotonic()))
        except queue.Empty:
            return True
        if job is not None:
            self._jobs.append(job)
        return job is not None

    def _attempt(self, step: Job) -> bool:
        try:
            with self._database.watched(LedgerUnavailable):
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
        except Exception as e:
            self._jobs.append(job)
            if not isinstance(e, LedgerUnavailable):
                # It may fail for good. The beats must not wait for its record: they release the claims instead.
                self._being_recorded.clear()
            raise

    def _beat(self) -> None:
        self._claims.beat(self._being_recorded)
        if self._takes_up_again:
            self._takes_up_again = False
            self._jobs.append(self._take_up)

    def _tell(self) -> None:
        if self._registration.is_registered:
            self._claims.tell()

    def _register(self) -> None:
        self._registration.register()
        self._take_up_twice()

    def _register_types(self) -> None:
        self._registration.register_types()
        self._take_up_twice()

    def _take_up_twice(self) -> None:
        """Now, and after the next beat: another worker may put tasks off that looked just before these types came."""
        self._jobs.append(self._take_up)
        self._takes_up_again = True

    def _take_up(self) -> None:
        """A batch at a time: beats and other jobs come between them. A worker that stops leaves it to the others."""
        is_stopping = self._stop_by < math.inf
        if self._registration.is_registered and not is_stopping and self._claims.take_up():
            self._jobs.append(self._take_up)

    def _look(self) -> None:
        self._looking.clear()
        if self._registration.is_registered:
            self._claims.look()

    def _lose(self, cause: str, items: list[Lost]) -> None:
        self._claims.lose(cause, items)
        self._being_recorded.difference_update((item.task_id, item.claim) for item in items)
        if any(item.guilt is not Guilt.INNOCENT for item in items):
            self.look()  # they wait to run apart

    def _force(self, end: ForcedEnd, since: float) -> None:
        self._claims.force(end, since)
        self._being_recorded.discard((end.task_id, end.claim))

    def _sign_off(self) -> None:
        while not self._given.empty():
            job = self._given.get()
            if job is not None:
                self._jobs.append(job)
        while self._jobs:
            self._do_next()
        self._claims.sign_off()
