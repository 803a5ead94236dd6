"""Regular expressions in linear time, for untrusted patterns and lines.

`re` backtracks: `(a+)+$` on thirty letters keeps it busy for minutes, in C code that holds the GIL. RE2
(https://github.com/google/re2/wiki/Syntax) runs in linear time, and refuses what would not: backreferences and
lookaround.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import re2

from ..domain.messages import Message, message
from . import effort

MAX_LENGTH = 300
# A class of Unicode becomes hundreds of ranges when it is read: \pL takes a tenth of a millisecond.
MAX_UNICODE_CLASSES = 5
# Of the program that a pattern becomes; RE2 stops compiling there. With both bounds the most costly pattern takes some
# three milliseconds, which it spends holding the GIL.
_MAX_PROGRAM_BYTES = 128 * 1024
# For a pattern that is matched, with its caches; beyond this size, RE2 only becomes slower.
_MAX_BYTES = 4 * 1024**2


_UNICODE_CLASS = re.compile(r"\\[pP]")
_TOO_MANY = message("The patterns of this request take too long to check together: send fewer at once.")


class PatternRefused(ValueError):
    """The pattern is not a regular expression, or not one that can be matched safely; `sentence` says why."""

    def __init__(self, sentence: Message) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Pattern:
    def __init__(self, source: str) -> None:
        """Raises PatternRefused."""
        check_pattern(source)
        self._found = _compiled(source, _MAX_BYTES)

    def search(self, line: bytes) -> bool:
        """Whether the pattern matches somewhere in the line, which is UTF-8."""
        return self._found(line) is not None


def check_pattern(source: str) -> None:
    """Raises PatternRefused, after three milliseconds at most. Cheap for a pattern that was checked before.

    Each pattern of a request costs one unit of its effort, and four more for each class of Unicode: a unit is 0.15 ms
    at most.
    """
    spent = effort.current()
    if len(source) > MAX_LENGTH:
        fault: Message | None = message("The pattern is longer than {limit} characters.", limit=MAX_LENGTH)
    elif spent is None:
        fault = _fault(source)
    else:
        fault = _fault_within(spent, source)
    if fault is not None:
        raise PatternRefused(fault)


def _fault_within(spent: effort.Effort, source: str) -> Message | None:
    # Verdicts are kept for as long as the request: those of all requests together may be pushed out by its own.
    if source in spent.verdicts:
        return spent.verdicts[source]
    if spent.patterns >= 0:
        spent.patterns -= 1 + 4 * len(_UNICODE_CLASS.findall(source))
    if spent.patterns < 0:
        return _TOO_MANY
    fault = spent.verdicts[source] = _fault(source)
    return fault


@lru_cache(maxsize=1024)
def _fault(source: str) -> Message | None:
    if len(_UNICODE_CLASS.findall(source)) > MAX_UNICODE_CLASSES:
        return message("The pattern has more than {limit} classes of Unicode (\\p).", limit=MAX_UNICODE_CLASSES)
    try:
        _compiled(source, _MAX_PROGRAM_BYTES)
    except re2.error as e:
        return message("Not a regular expression as RE2 takes them: {reason}.", reason=_said(e))
    except UnicodeEncodeError:
        return message("The pattern is not text that UTF-8 can hold.")
    return None


def _compiled(source: str, max_bytes: int) -> Callable[[bytes], object]:
    options = re2.Options()
    options.max_mem = max_bytes
    options.log_errors = False
    try:
        return re2.compile(source, options).search  # type: ignore[no-any-return]
    finally:
        # RE2's cache would keep the last 128 compiled patterns of untrusted callers.
        re2.purge()


def _said(error: Exception) -> str:
    (said,) = error.args
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
