"""Interrupts: exceptions that are raised into a running task from outside, and arrive in the task's own code only.

CPython can raise an exception in another thread (`PyThreadState_SetAsyncExc`), at whatever that thread does next.
`ThreadInterrupts` makes sure that this is the task's function: it raises only while the function runs, holds the
exception back while the function is inside the platform (`shield`), and lets none arrive after the function's end.

An exception can arrive at the start of a Python function, after a call, and at the backward jump of a loop: the places
where the interpreter checks its "eval breaker". The code below is written with that in mind.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, TypeVar

from taskyard.domain.errors import Interrupt, SoftTimeLimitExceeded
from taskyard.storage.interface import Storage, Stored, Writer

from .copies import leave_copy

T = TypeVar("T")

# Between two exceptions for one task: the first has arrived, and has been handled here, before the second is raised.
_APART_SECONDS = 1.0
_TWICE = (1, 2)

_set_async_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exception.argtypes = (ctypes.c_ulong, ctypes.py_object)
_set_async_exception.restype = ctypes.c_int


class Interruptible(Protocol):
    """One run of a task that can be interrupted: `ThreadInterrupts`, or `event_loop.LoopInterrupts`."""

    @property
    def interrupted_thread(self) -> bool:
        """Whether anything was raised into a thread: what it interrupted may have left shared state half changed."""
        ...

    def interrupt(self, kind: type[Interrupt]) -> bool:
        """False where the function does not run, or was interrupted a moment ago: try again."""
        ...


class ThreadInterrupts:
    """The interrupts of one run of a task's function in one thread.

    `call` belongs to that thread, `interrupt` to any other one. `with interrupts.shield:` stands around what the
    platform does in a task's thread, and nests.
    """

    # One is made for each task. It is its own shield: two objects that refer to each other would be left to the garbage
    # collector.
    __slots__ = ("_depth", "_lock", "_pending", "_raised", "_raised_at", "_thread")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = 0  # in which the function runs now
        self._depth = 0  # shields around what it does now
        self._pending: type[Interrupt] | None = None
        self._raised: list[type[Interrupt]] = []
        self._raised_at = 0.0

    @property
    def shield(self) -> ThreadInterrupts:
        return self

    @property
    def interrupted_thread(self) -> bool:
        return bool(self._raised)

    @property
    def met_soft_limit(self) -> bool:
        """Whether the function was told that its soft limit is over, and in time to hear it."""
        return SoftTimeLimitExceeded in self._raised

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The function's result; interrupts come out of it as if the function had raised them."""
        try:
            self._arm()
            return function(*arguments)
        finally:
            # One may arrive here, and no other after it. It came too late: the function's result counts.
            try:
                leave_copy()
                self._disarm()
            except Interrupt:
                leave_copy()
                self._raised.pop()
                self._disarm()

    def interrupt(self, kind: type[Interrupt]) -> bool:
        """Raises it in the function, or once the function leaves the platform."""
        with self._lock:
            if not self._thread or time.monotonic() - self._raised_at < _APART_SECONDS:
                return False
            self._raised.append(kind)
            self._raised_at = time.monotonic()
            if self._depth:
                self._pending = kind
            else:
                _set_async_exception(self._thread, kind)
            return True

    def check(self) -> None:
        """Raises what a shield holds back: for tasks that stay inside one for long."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            raise pending

    def __enter__(self) -> None:
        if self._thread != threading.get_ident():
            return  # a thread of the task's own, or an event loop: nothing is raised there
        before = self._depth
        try:
            with self._lock:
                self._depth = before + 1
            _let_arrive()
        except Interrupt:
            self._depth = before
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread != threading.get_ident():
            return
        with self._lock:
            self._depth -= 1
            pending = None
            if not self._depth:
                pending, self._pending = self._pending, None
        if pending is not None:
            raise pending

    def _arm(self) -> None:
        with self._lock:
            self._thread = threading.get_ident()

    def _disarm(self) -> None:
        with self._lock:
            self._thread = 0
            self._pending = None
        _let_arrive()


def _let_arrive() -> None:
    """Lets an exception arrive that was raised for this thread: the loop checks the eval breaker."""
    for _ in _TWICE:
        pass


class ShieldedStorage:
    """A storage whose operations are not interrupted; a task can be interrupted between them."""

    __slots__ = ("_shield", "_storage")

    def __init__(self, storage: Storage, interrupts: ThreadInterrupts) -> None:
        self._storage = storage
        self._shield = interrupts.shield

    @property
    def directory(self) -> Path | None:
        return self._storage.directory

    def writer(self) -> AbstractContextManager[Writer]:
        return _ShieldedWriting(self._storage.writer(), self._shield)

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        file: BinaryIO | None = None
        try:
            with self._shield:
                file = self._storage.open(key, offset=offset)
        except Interrupt:
            if file is not None:  # the interrupt was held back until now
                file.close()
            raise
        return file

    def size(self, key: str) -> int:
        with self._shield:
            return self._storage.size(key)

    def delete(self, key: str) -> None:
        with self._shield:
            self._storage.delete(key)

    def check(self) -> None:
        with self._shield:
            self._storage.check()


class _ShieldedWriting:
    def __init__(self, writing: AbstractContextManager[Writer], shield: AbstractContextManager[None]) -> None:
        self._writing = writing
        self._shield = shield

    def __enter__(self) -> Writer:
        writer: Writer | None = None
        try:
            with self._shield:
                writer = self._writing.__enter__()
        except Interrupt as e:
            if writer is not None:  # the interrupt was held back until now
                self._writing.__exit__(type(e), e, None)
            raise
        return _ShieldedWriter(writer, self._shield)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        with self._shield:
            return self._writing.__exit__(kind, error, trace)


class _ShieldedWriter:
    def __init__(self, writer: Writer, shield: AbstractContextManager[None]) -> None:
        self._writer = writer
        self._shield = shield

    @property
    def key(self) -> str:
        return self._writer.key

    def write(self, data: bytes) -> int:
        with self._shield:
            return self._writer.write(data)

    def commit(self) -> Stored:
        with self._shield:
            return self._writer.commit()
