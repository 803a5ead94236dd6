"""The signals that stop a scheduler, as something to wait for; others are ignored."""

from __future__ import annotations

import select
import signal
import socket

from taskyard import signals


class StopSignals:
    """Signals arrive as bytes on a socket (`signal.set_wakeup_fd`). A handler of ours could interrupt the main thread
    anywhere, even while it holds a lock.

    `signal.sigtimedwait` does not do: in a process that was stopped for longer than the wait it returns a signal read
    from uninitialised memory (seen with CPython 3.11).
    """

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        signals.take(dict.fromkeys(signals.STOPPING, signals.nothing))

    def wait(self, seconds: float) -> str | None:
        """The name of the signal that arrived, or None after `seconds`."""
        ready, _, _ = select.select([self._receiver], [], [], max(0.0, seconds))
        arrived = self._receiver.recv(64) if ready else b""
        return next((signal.Signals(number).name for number in arrived if number in signals.STOPPING), None)

    def close(self) -> None:
        """From now on a signal to stop ends the process at once."""
        signal.set_wakeup_fd(-1)
        for number in signals.STOPPING:
            signal.signal(number, signal.SIG_DFL)
        self._receiver.close()
        self._sender.close()
