"""What a service does about signals. `take` installs its handlers, once, before it has work.

A signal that a service has no use for would end it at once, and its tasks would wait for a lease: it is ignored, by a
handler that does nothing. The kernel resets handlers when a program is started, so that programs of tasks get the
default; SIG_IGN they would inherit.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType

Handler = Callable[[int, FrameType | None], object]

# They stop a service in order.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_NAMES = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGSTKFLT")
# Signals that others send, and whose default is to end the process. Those that tell of a fault in the process itself
# (SIGSEGV, SIGABRT, ...) are not among them.
ENDING = frozenset(
    {*STOPPING, *(getattr(signal, name) for name in _NAMES if hasattr(signal, name))}
    | (set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1)) if hasattr(signal, "SIGRTMIN") else set())
)
# Python ignores these itself, so that a write fails with an error instead.
OF_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

_taken: dict[int, Handler] = {}


def nothing(_number: int, _frame: FrameType | None) -> None:
    """The handler of an ignored signal."""


def take(handlers: Mapping[int, Handler], *, otherwise: Handler = nothing) -> None:
    """Installs the handlers, and `otherwise` for all other signals of ENDING. What the process that started this one
    had blocked or ignored is neither any more. Only from the main thread."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, *OF_PYTHON} | handlers.keys():
        if (handler := handlers.get(number, otherwise if number in ENDING else None)) is not None:
            signal.signal(number, handler)
            _taken[number] = handler
            if number not in handlers:
                signal.siginterrupt(number, False)  # C code that waits is not to notice
        elif signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def give_up() -> None:
    """The default again, for what `take` installed: in a copy that `os.fork()` made of the process."""
    for number, handler in _taken.items():
        # Those of Python stay with a handler that does nothing: the copy may start a program.
        if number not in OF_PYTHON and signal.getsignal(number) is handler:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    _taken.clear()
