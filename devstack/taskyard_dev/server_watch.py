"""Restarts servers that end on their own, on the same port and with the same data."""

import time
from dataclasses import dataclass, field

from taskyard_dev.console import Console
from taskyard_dev.errors import StackError
from taskyard_dev.postgres import Postgres
from taskyard_dev.service import Restarts
from taskyard_dev.valkey import Valkey


@dataclass
class ServerWatch:
    """One server of the stack, and its restarts."""

    name: str
    server: Postgres | Valkey
    console: Console
    _restarts: Restarts = field(default_factory=Restarts)
    _start_at: float = 0.0

    def tend(self) -> None:
        """Start the server again where it has ended, with growing pauses."""
        if self.server.pid is not None or time.monotonic() < self._start_at:
            return
        self.console.line(self.name, "ended on its own; starting it again")
        self._start_at = time.monotonic() + self._restarts.next_pause().total_seconds()
        self._restarts.began()
        try:
            self.server.start()
        except StackError as error:
            self.console.line(self.name, str(error))
