"""Regular expressions in linear time, for untrusted patterns and lines.

`re` backtracks: `(a+)+$` on thirty letters keeps it busy for minutes, in C code that holds the GIL. RE2
(https://github.com/google/re2/wiki/Syntax) runs in linear time, and refuses what would not: backreferences and
lookaround.
"""

from __future__ import annotations

import re2

MAX_LENGTH = 300
# For one compiled pattern and its caches; beyond this size, RE2 only becomes slower.
_MAX_BYTES = 4 * 1024**2


class PatternRefused(ValueError):
    """The pattern is not a regular expression, or not one that can be matched safely; the message says why."""


class Pattern:
    def __init__(self, source: str) -> None:
        """Raises PatternRefused."""
        if len(source) > MAX_LENGTH:
            raise PatternRefused(f"the pattern is longer than {MAX_LENGTH} characters")
        options = re2.Options()
        options.max_mem = _MAX_BYTES
        options.log_errors = False
        try:
            self._found = re2.compile(source, options).search
        except re2.error as e:
            raise PatternRefused(f"not a regular expression as RE2 takes them: {_said(e)}") from None
        except UnicodeEncodeError:
            raise PatternRefused("the pattern is not text that UTF-8 can hold") from None
        finally:
            # The cache would keep the last 128 patterns of untrusted callers.
            re2.purge()

    def search(self, line: bytes) -> bool:
        """Whether the pattern matches somewhere in the line, which is UTF-8."""
        return self._found(line) is not None


def _said(error: Exception) -> str:
    (message,) = error.args
    return message.decode(errors="replace") if isinstance(message, bytes) else str(message)
