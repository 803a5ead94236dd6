"""What signals and other threads ask of the supervisor's main thread.

Every request wakes the main thread, which waits for `wake_up` to become readable.
"""

from __future__ import annotations

import queue
import signal
import socket
from collections.abc import Collection
from contextlib import suppress
from uuid import UUID

Key = tuple[UUID, UUID]  # task, claim


class Requests:
    def __init__(self) -> None:
        self.wake_up, self._waker = socket.socketpair()
        self.wake_up.setblocking(False)
        self._waker.setblocking(False)
        self._cancellations: queue.SimpleQueue[Key] = queue.SimpleQueue()
        self.stop_signals = 0
        self.is_given_up = False
        """The ledger took this worker for lost: others have its claims by now."""
        self.apart = 0
        """So many children in quarantine have work that waits."""

    @property
    def is_stopping(self) -> bool:
        return self.stop_signals > 0

    # From signals and other threads

    def handle_signals(self) -> None:
        """Takes SIGTERM and SIGINT as requests to stop; SIGCHLD only wakes the main thread."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)

    def stop(self, *_: object) -> None:
        self.stop_signals += 1

    def give_up(self) -> None:
        self.is_given_up = True
        self._wake()

    def cancel(self, keys: Collection[Key]) -> None:
        """A user cancelled these tasks while they run here."""
        for key in keys:
            self._cancellations.put(key)
        self._wake()

    def run_apart(self, children: int) -> None:
        if children != self.apart:
            self.apart = children
            self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # a full socket wakes as well
            self._waker.send(b"!")

    # From the main thread

    def clear_wake_up(self) -> None:
        """Before the requests are read: one that arrives meanwhile wakes again."""
        with suppress(BlockingIOError):
            while self.wake_up.recv(4096):
                pass

    def take_cancellations(self) -> list[Key]:
        return [self._cancellations.get() for _ in range(self._cancellations.qsize())]

    def take_given_up(self) -> bool:
        """Whether the worker was given up since the last call."""
        given_up, self.is_given_up = self.is_given_up, False
        return given_up

    def close(self) -> None:
        """For tests. A worker keeps the sockets until its process ends: a late signal would write to a closed one."""
        self.wake_up.close()
        self._waker.close()
