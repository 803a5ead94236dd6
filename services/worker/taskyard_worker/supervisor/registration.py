"""The worker's row in the ledger, without which no claim is won."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from sqlalchemy import Connection, Engine

from taskyard.domain.ids import new_id
from taskyard.lifecycle import workers
from taskyard.lifecycle.workers import WorkerInfo
from taskyard.settings import Settings
from taskyard.store import ledger
from taskyard.version import __version__


class Registration:
    """The identity of this worker. `renew` makes another one, after the ledger gave this one up."""

    def __init__(self, engine: Engine, settings: Settings, *, queues: Sequence[str], task_types: Sequence[str]) -> None:
        self._engine = engine
        self._settings = settings
        self.queues = list(queues)
        self.task_types = list(task_types)
        self.worker_id = new_id()
        self.is_registered = False
        """Whether the ledger knows this worker, as far as its last answer told."""

    @property
    def name(self) -> str:
        return f"{socket.gethostname()}-{self.worker_id.hex[-4:]}"

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
            threads=self._settings.worker_threads,
        )

        def write(conn: Connection) -> None:
            workers.ensure_queues(conn, self.queues)
            workers.register(conn, info)

        ledger.run_transaction(self._engine, write)
        self.is_registered = True

    def given_up(self) -> None:
        """The ledger took this worker for lost."""
        self.is_registered = False

    def renew(self) -> None:
        """Takes another identity, to be registered. The scheduler rescues the rows of the old one."""
        self.worker_id = new_id()
