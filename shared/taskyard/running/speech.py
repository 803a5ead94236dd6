"""What a task says, as text that can be stored and holds none of its secrets.

Messages, log lines, codes, values and class names of errors all pass `said`: they may be of any type, and their own
code may fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from ..lifecycle.batch import storable_text

MASK = "***"
# Shorter lines of a longer secret (`}`, `-----`) give nothing away, and occur in other texts, too.
_TELLING = 8

Redact = Callable[[str], str]
# A task that puts something in its place for a test fails itself, and not all that follow it in its process.
_dumps = json.dumps

# A metaclass may have a `__name__` of its own.
_name_of_class = type.__dict__["__name__"].__get__


def said(value: object, redact: Redact = str, most: int | None = None) -> str:
    """The text of anything, without secrets and without what PostgreSQL cannot hold. Cut last: half a secret would not
    be recognised. Never raises."""
    text = storable_text(redact(text_of(value)))
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def text_of(value: object) -> str:
    """`str(value)`, and exactly a `str`. Never raises, unlike the value's own code."""
    if type(value) is str:
        return value
    try:
        return str.__str__(str(value))
    except BaseException:  # noqa: BLE001 - whatever it raises, it is no error of who shows it
        return f"<{name_of(type(value))} that cannot be shown>"


def name_of(kind: type) -> str:
    """The name of a class."""
    return str(_name_of_class(kind))


class _Strike:
    """Replaces the secret texts by `***`, the longest first."""

    __slots__ = ("_texts",)

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted(texts, key=len, reverse=True)

    @property
    def longest(self) -> int:
        return len(self._texts[0])

    def __call__(self, text: object) -> str:
        made = text_of(text)
        for secret in self._texts:
            made = made.replace(secret, MASK)
        return made


def strike_out(secrets: Iterable[str]) -> Redact:
    """A function that replaces each of the secret texts by `***`."""
    secrets = list(secrets)
    if not secrets:  # as nearly always
        return str
    # A secret of several lines (a PEM file) may appear line by line, and escaped within quotes.
    parts = {p for s in secrets for p in (s, *(line for line in s.splitlines() if len(line) >= _TELLING))}
    texts = {t for p in parts if p for t in _spellings(p)}
    return _Strike(texts) if texts else str


def longest(redact: Redact) -> int:
    """Characters of the longest text that `redact` replaces."""
    return redact.longest if isinstance(redact, _Strike) else 0


def _spellings(text: str) -> tuple[str, ...]:
    return text, repr(text)[1:-1], _dumps(text)[1:-1], _dumps(text, ensure_ascii=False)[1:-1]
