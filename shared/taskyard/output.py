"""Standard output and error of the command-line programs: what they cannot take ends a program with one line."""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import garbage

# Of a full disk, a quota, a reader that is gone, a terminal that is gone, a descriptor that is not for writing.
_OF_OUTPUT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE, errno.EIO, errno.EBADF})
_ESCAPES = "taskyard-escapes"
# What a terminal obeys instead of showing it: control characters but tabs and ends of lines, and changes of direction.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def run_program(name: str, program: Callable[[], Any]) -> None:
    """Runs a program that ends by SystemExit. Where its output cannot be written it ends with 1, and one line says
    why; without the line where nobody reads on (`| head -1`)."""
    garbage.rarely_until_started()
    _open_what_is_closed()
    codecs.register_error(_ESCAPES, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPES)
    try:
        try:
            program()
        finally:
            _say_or_discard()
            sys.stdout.flush()
    except OSError as e:
        if e.errno not in _OF_OUTPUT or e.filename is not None:
            raise
        if e.errno != errno.EPIPE:
            with suppress(OSError):
                sys.stderr.write(f"{name}: the output cannot be written: {e.strerror}\n")
        # What is still in the buffers is tried again where the interpreter ends, and would fail once more.
        for stream in (sys.stdout, sys.stderr):
            _discard(stream)
        sys.exit(1)


def _say_or_discard() -> None:
    """What cannot be said on standard error changes no exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def visible(text: str) -> str:
    """What others wrote, for a terminal: escaped as JSON escapes it, so that printed JSON stays JSON."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What the output's encoding lacks, as JSON escapes it: printed JSON stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2)), error.end


def _open_what_is_closed() -> None:
    """Otherwise the next file or connection that is opened would get the number of standard output."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115 - for good


def _discard(stream: Any) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):
        os.dup2(nowhere, stream.fileno())
        stream.flush()
    os.close(nowhere)
