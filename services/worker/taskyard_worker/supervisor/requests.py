"""What signals and other threads ask of the supervisor's main thread.

Every request wakes the main thread, which waits for `wake_up` to become readable.
"""

from __future__ import annotations

import queue
import signal
import socket
from collections.abc import Collection
from contextlib import suppress
from types import FrameType
from uuid import UUID

import structlog

from taskyard import signals
from taskyard.lifecycle.workers import Asked

log = structlog.stdlib.get_logger(__name__)

Key = tuple[UUID, UUID]  # task, claim


class Requests:
    def __init__(self) -> None:
        self.wake_up, self._waker = socket.socketpair()
        self.wake_up.setblocking(False)
        self._waker.setblocking(False)
        self._cancellations: queue.SimpleQueue[Key] = queue.SimpleQueue()
        self._passed_on: queue.SimpleQueue[tuple[str, list[str]]] = queue.SimpleQueue()
        self._asked: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self._drains = False
        self.stop_signals = 0
        self._reloads = 0
        self._ignored: set[int] = set()
        self._told: set[int] = set()
        self.is_given_up = False
        """The ledger took this worker for lost: others have its claims by now."""
        self._apart = 0

    @property
    def is_stopping(self) -> bool:
        return self._drains or self.stop_signals > 0

    # From signals and other threads

    def handle_signals(self) -> None:
        """Stops at the signals that stop a service, replaces the children at SIGHUP; SIGCHLD only wakes the main
        thread. Others are ignored."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        stopping: dict[int, signals.Handler] = dict.fromkeys(signals.STOPPING, self.stop)
        signals.take({signal.SIGCHLD: signals.nothing, signal.SIGHUP: self.reload, **stopping}, otherwise=self.ignore)

    def stop(self, *_: object) -> None:
        self.stop_signals += 1

    def reload(self, *_: object) -> None:
        self._reloads += 1

    def ignore(self, number: int, _frame: FrameType | None) -> None:
        # Told by the main thread: this may have interrupted it while it writes to the log.
        self._ignored.add(number)

    def give_up(self) -> None:
        self.is_given_up = True
        self._wake()

    def cancel(self, keys: Collection[Key]) -> None:
        """A user cancelled these tasks while they run here."""
        for key in keys:
            self._cancellations.put(key)
        self._wake()

    def pass_on(self, do: str, queues: list[str]) -> None:
        """What the children are to do with these queues: `resume` or `recall` (`control`)."""
        self._passed_on.put((do, queues))
        self._wake()

    def ask(self, asked: Asked) -> None:
        """Of this worker, from outside; may be repeated until it is done."""
        if asked.drain:
            self._drains = True  # which leaves nothing else to do
        else:
            self._asked.put(asked)
        self._wake()

    def run_apart(self, children: int) -> None:
        """There is work that waits for so many children in quarantine."""
        self._apart = children
        if children:
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

    def take_passed_on(self) -> list[tuple[str, list[str]]]:
        """What the children are to be told, in its order."""
        return [self._passed_on.get() for _ in range(self._passed_on.qsize())]

    def take_asked(self) -> list[Asked]:
        """To be carried out."""
        return [self._asked.get() for _ in range(self._asked.qsize())]

    def take_apart(self) -> int:
        """How many children in quarantine there is work for; 0 until the ledger is asked again, as those that start
        meanwhile take that work."""
        apart, self._apart = self._apart, 0
        return apart

    def take_reload(self) -> bool:
        """Whether the children were to be replaced since the last call."""
        reloads, self._reloads = self._reloads, 0
        return reloads > 0

    def tell_ignored(self) -> None:
        """Logs each signal that was ignored, once."""
        for number in self._ignored - self._told:
            self._told.add(number)
            known = number in set(signal.Signals)
            log.warning("signal_ignored", signal=signal.Signals(number).name if known else str(number))

    def take_given_up(self) -> bool:
        """Whether the worker was given up since the last call."""
        given_up, self.is_given_up = self.is_given_up, False
        return given_up

    def close(self) -> None:
        """For tests. A worker keeps the sockets until its process ends: a late signal would write to a closed one."""
        self.wake_up.close()
        self._waker.close()
