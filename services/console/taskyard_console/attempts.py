"""Two attempts of a task side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from taskyard_client import TimelineEvent

from .report import ENDS, LOG, said_of


class Line(NamedTuple):
    at: datetime | None
    attempt: int
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    number: int
    outcome: str
    worker: str
    began: datetime | None
    ended: datetime | None
    code: str
    message: str
    place: str
    peak_memory_bytes: int | None

    @property
    def lasted(self) -> timedelta | None:
        return self.ended - self.began if self.began and self.ended else None


def lines_of(events: Sequence[TimelineEvent], *, level: str = "", text: str = "") -> list[Line]:
    """Of the log; `text` is looked for as it stands, in any case."""
    found = [
        Line(event.at, event.attempt or 0, str(event.data.get("level", "")), str(event.data.get("message", "")))
        for event in events
        if event.kind == LOG
    ]
    if not level and not text:
        return found
    least = LEVELS.index(level) if level in LEVELS else 0
    return [line for line in found if _rank(line.level) >= least and text.casefold() in line.text.casefold()]


LEVELS = ("debug", "info", "warning", "error", "critical")


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else 1


def attempts_of(events: Sequence[TimelineEvent]) -> list[Attempt]:
    """Those of these events, by their number. A claim that was given back has the number of the next attempt, and is
    not told apart from it."""
    numbers = sorted({event.attempt or 0 for event in events if event.kind == "started"})
    return [_attempt(number, events) for number in numbers]


def compared(attempts: Sequence[Attempt], first: str, second: str) -> list[Attempt]:
    """Those two that were asked for; else the last two."""
    asked = [one for one in attempts if str(one.number) in {first, second}]
    return asked if len(asked) == 2 else list(attempts[-2:]) if len(attempts) > 1 else []


def _attempt(number: int, events: Sequence[TimelineEvent]) -> Attempt:
    own = [event for event in events if event.attempt == number]
    began = next((event for event in own if event.kind == "started"), None)
    ended = next((event for event in reversed(own) if event.kind in ENDS), None)
    data: dict[str, Any] = ended.data if ended else {}
    error = data.get("error")
    peak = data.get("peak_memory_bytes")
    return Attempt(
        number=number,
        outcome=ended.kind if ended else "running",
        worker=str((began.data if began else data).get("worker") or data.get("worker") or ""),
        began=began.at if began else None,
        ended=ended.at if ended else None,
        code=str(error.get("code") or "") if isinstance(error, dict) else "",
        message=said_of(data),
        place=place_of(str(data.get("traceback") or "")),
        peak_memory_bytes=peak if isinstance(peak, int) else None,
    )


def place_of(traceback: str) -> str:
    """The innermost place that a traceback names: its file, line and function."""
    places = [line.strip() for line in traceback.splitlines() if line.lstrip().startswith('File "')]
    return places[-1] if places else ""
