"""Standard output and error of a process in which several tasks run at once.

`sys.stdout` is one for all of them, and `contextlib.redirect_stdout` replaces it. Here each task sees what it has put
there itself. `print` looks into the dictionary of `sys` and reads no attribute, so the dictionary holds a stream that
writes to what the attribute is.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from .speaker import printed, redact_here, speaker

NAMES = ("stdout", "stderr")


class Stream(io.TextIOBase):
    """Passes text on. What a running task writes goes to its log as well, in whole lines."""

    def __init__(self, inner: io.TextIOBase) -> None:
        self._inner = inner

    def write(self, text: str) -> int:
        here = speaker()
        shown = redact_here()(text) if here is None else here.take(self, text)
        if shown:
            self.pass_on(shown)
        return len(text)

    def pass_on(self, text: str) -> None:
        # A task is not at fault where the worker's output is closed, or its disk full.
        with suppress(OSError, ValueError):
            self._inner.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._inner.flush()

    def close(self) -> None:
        """Nothing: the others write to it, too."""

    def reconfigure(self, **_: Any) -> None:
        """Nothing, for the same reason. It takes any text."""

    def isatty(self) -> bool:
        return self._inner.isatty()

    def fileno(self) -> int:
        return self._inner.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._inner.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._inner.errors

    @property
    def buffer(self) -> Any:
        """Bytes that are written here are not captured."""
        return getattr(self._inner, "buffer")  # noqa: B009 - a StringIO has none


class _Printed:
    """What `print` and the interpreter itself find."""

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> int:
        stream = getattr(sys, self._name)
        return len(text) if stream is None else stream.write(text)

    def flush(self) -> None:
        if (stream := getattr(sys, self._name)) is not None:
            stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(sys, self._name), name)


class _Replaceable:
    """The attribute: a task's own stream, else the one of all."""

    def __init__(self, name: str, stream: Any) -> None:
        self._name = name
        self._stream = stream
        self._outside: dict[str, Any] = {}  # what a hook has put there is not for tasks

    def _replaced(self) -> dict[str, Any]:
        here = speaker()
        return self._outside if here is None else here.replaced

    def __get__(self, module: object, kind: type | None = None) -> Any:
        return self._replaced().get(self._name, self._stream)

    def __set__(self, module: object, stream: Any) -> None:
        self._replaced()[self._name] = stream

    def __delete__(self, module: object) -> None:
        self.__set__(module, None)


def separate() -> None:
    """Call once a process: from now on `sys.stdout` and `sys.stderr` belong to tasks."""
    streams = {name: Stream(_of_all(getattr(sys, name))) for name in NAMES}
    printed.update({name: _Printed(name) for name in NAMES})
    vars(sys).update(printed)
    sys.__class__ = type("SysOfTasks", (ModuleType,), {n: _Replaceable(n, s) for n, s in streams.items()})


def _of_all(inner: Any) -> Any:
    if inner is None:  # the worker was started without it
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(inner, io.TextIOWrapper):
        inner.reconfigure(errors="backslashreplace")  # any text can be printed, whatever the encoding
    return inner
