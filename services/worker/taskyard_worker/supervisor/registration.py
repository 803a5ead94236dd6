"""The worker's rows in the ledger: its own, without which no claim is won, and those of its task types."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence

import structlog
from sqlalchemy import Connection, Engine

from taskyard.catalogue.spec import TaskSpec
from taskyard.domain.errors import BrokerUnavailable
from taskyard.domain.ids import new_id
from taskyard.lifecycle import workers
from taskyard.lifecycle.workers import WorkerInfo
from taskyard.settings import Settings
from taskyard.store import ledger, task_types
from taskyard.store.audit import Actor
from taskyard.version import __version__

log = structlog.stdlib.get_logger(__name__)


class Registration:
    """The identity of this worker and what it runs. `renew` makes another identity, after the ledger gave this one up.

    `announce` tells API and scheduler that there are new task types; it may raise BrokerUnavailable.
    """

    def __init__(
        self, engine: Engine, settings: Settings, *, queues: Sequence[str], announce: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._announce = announce
        self._types: Mapping[str, TaskSpec] = {}  # replaced as a whole: another thread reads it
        self.queues = list(queues)
        self.worker_id = new_id()
        self.is_registered = False
        """Whether the ledger knows this worker, as far as its last answer told."""

    @property
    def name(self) -> str:
        return self._settings.worker_name or f"{socket.gethostname()}-{self.worker_id.hex[-4:]}"

    @property
    def threads(self) -> int:
        """Of each child."""
        return self._settings.worker_threads

    @property
    def task_types(self) -> list[str]:
        """The names of the types that it runs; none until its first child has reported."""
        return sorted(self._types)

    @property
    def versions(self) -> dict[str, int]:
        """Its version of each of them."""
        return {spec.name: spec.version for spec in self._types.values()}

    def take(self, types: Mapping[str, TaskSpec]) -> bool:
        """These are its types from now on, to be registered; False where they were so before."""
        digests = {spec.digest for spec in types.values()}
        if digests == {spec.digest for spec in self._types.values()}:
            return False
        self._types = types
        return True

    def register(self) -> None:
        """Raises LedgerUnavailable."""
        info = WorkerInfo(
            id=self.worker_id,
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            queues=self.queues,
            task_types=self.task_types,
            processes=self._settings.worker_processes.maximum,
            threads=self.threads,
        )

        types = self._types

        def write(conn: Connection) -> None:
            workers.ensure_queues(conn, self.queues)
            workers.register(conn, info)
            self._write_types(conn, types)

        ledger.run_transaction(self._engine, write)
        self.is_registered = True
        if types:
            self._tell()

    def register_types(self) -> None:
        """Of a worker that is registered; `register` writes them, too. Raises LedgerUnavailable."""
        if self.is_registered:
            types = self._types
            ledger.run_transaction(self._engine, lambda conn: self._write_types(conn, types))
            log.info("task_types_registered", worker=self.name, types=len(types))
            self._tell()

    def _write_types(self, conn: Connection, types: Mapping[str, TaskSpec]) -> None:
        task_types.write(conn, types.values(), Actor(f"worker:{self.name}"))
        task_types.write_worker(conn, self.worker_id, {spec.name: spec.version for spec in types.values()})

    def _tell(self) -> None:
        try:
            self._announce()
        except BrokerUnavailable as e:  # its readers look by themselves, too
            log.debug("types_not_announced", error=str(e))

    def given_up(self) -> None:
        """The ledger took this worker for lost."""
        self.is_registered = False

    def renew(self) -> None:
        """Takes another identity, to be registered. The scheduler rescues the rows of the old one."""
        self.worker_id = new_id()
