"""The timeline of a task as a report: what happened, in words, with how long it waited and ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from taskyard_client import TimelineEvent

from .access import Access
from .formats import moment_of

if TYPE_CHECKING:
    from babel.support import NullTranslations

LOG, _PROGRESS = "log", "progress"
ENDS = frozenset({"succeeded", "failed", "retrying", "cancelled", "released", "crashed", "suspected"})
_GOOD, _BAD = frozenset({"succeeded"}), frozenset({"failed", "crashed", "suspected", "expired"})


@dataclass(frozen=True, slots=True)
class Entry:
    """`lasted` is the time before it: in the queue, where an attempt begins, of running, where it ends. `steps` are
    the progress before this one."""

    at: datetime | None
    attempt: int
    title: str
    tone: str = ""
    lasted: timedelta | None = None
    says: str = ""
    code: str = ""
    traceback: str = ""
    kind: str = ""
    pairs: dict[str, Any] = field(default_factory=dict)
    follows: str = ""
    steps: list[Entry] = field(default_factory=list)


def shown_to(reader: Access, events: Sequence[TimelineEvent]) -> list[TimelineEvent]:
    """The events without what the API keeps from keys like the reader's: those who sign in with a name read with the
    console's key."""
    if reader.sees_tracebacks:
        return list(events)
    return [e.model_copy(update={"data": {n: v for n, v in e.data.items() if n != "traceback"}}) for e in events]


def report(events: Sequence[TimelineEvent], words: NullTranslations) -> list[Entry]:
    """Of a page of the timeline, oldest first."""
    found: list[Entry] = []
    began: datetime | None = None
    for event in events:
        if event.kind == LOG:
            continue
        lasted = None
        if event.kind == "started":
            queued = moment_of(event.data.get("queued_at"))
            lasted = event.at - queued if event.at and queued else None
            began = event.at
        elif event.kind in ENDS and began and event.at:
            lasted, began = event.at - began, None
        entry = _entry(event, lasted, words)
        if found and event.kind == found[-1].kind == _PROGRESS and event.attempt == found[-1].attempt:
            # One line for all steps in a row: the newest, with those before it folded.
            before = found.pop()
            entry = replace(entry, steps=[*before.steps, replace(before, steps=[])])
        found.append(entry)
    return found


def _entry(event: TimelineEvent, lasted: timedelta | None, words: NullTranslations) -> Entry:
    data, error = event.data, event.data.get("error")
    error = error if isinstance(error, Mapping) else {}
    shown = {"message", "error", "traceback", "cause", "follows", "by"} | _TOLD.get(event.kind, frozenset())
    return Entry(
        at=event.at,
        attempt=event.attempt or 0,
        kind=event.kind,
        title=_title(event, words),
        tone="good" if event.kind in _GOOD else "bad" if event.kind in _BAD else "",
        lasted=lasted,
        says=said_of(data) if event.kind != _PROGRESS else "",
        code=str(error.get("code") or ""),
        traceback=str(data.get("traceback") or ""),
        pairs={name: value for name, value in data.items() if name not in shown and value is not None},
        follows=str(data.get("follows") or ""),
    )


# What the title tells already.
_TOLD = {
    "submitted": frozenset({"name", "queue", "submitted_by"}),
    "started": frozenset({"worker", "queued_at"}),
    "progress": frozenset({"current", "total"}),
    **dict.fromkeys(ENDS, frozenset({"worker"})),
}


def said_of(data: Mapping[str, Any]) -> str:
    """The words of an event: those of its error with the class of an exception, its cause, or its message."""
    error = data.get("error")
    if isinstance(error, Mapping) and error.get("message"):
        is_raised = error.get("code") == "task_exception" and error.get("type")
        return f"{error['type']}: {error['message']}" if is_raised else str(error["message"])
    return str(data.get("cause") or data.get("message") or "")


def _title(event: TimelineEvent, words: NullTranslations) -> str:
    _, data = words.gettext, event.data
    match event.kind:
        case "submitted" if data.get("submitted_by"):
            return _("Submitted by %(who)s to the queue %(queue)s") % {
                "who": data["submitted_by"], "queue": data.get("queue"),
            }  # fmt: skip
        case "submitted":
            return _("Submitted to the queue %(queue)s") % {"queue": data.get("queue")}
        case "started":
            return _("Attempt %(number)s began on %(worker)s") % {
                "number": event.attempt, "worker": data.get("worker") or _("a worker"),
            }  # fmt: skip
        case "progress":
            return _("Progress: %(text)s") % {"text": data.get("message") or data.get("current", "")}
    by = data.get("by")
    return (_by(event.kind, str(by), words) if by else "") or _plain(event.kind, words)


def _by(kind: str, who: str, words: NullTranslations) -> str:
    _ = words.gettext
    known = {
        "cancel_requested": _("Cancelling was asked for by %(who)s"),
        "cancelled": _("Cancelled by %(who)s"),
        "retried": _("Run again, asked for by %(who)s"),
        "changed": _("Changed by %(who)s"),
        "discarded": _("Discarded by %(who)s"),
        "restored": _("Restored by %(who)s"),
    }
    return known[kind] % {"who": who} if kind in known else ""


def _plain(kind: str, words: NullTranslations) -> str:
    _ = words.gettext
    known = {
        "cancel_requested": _("Cancelling was asked for"),
        "cancel_delivered": _("The task was told to stop"),
        "cancel_acknowledged": _("The task stopped"),
        "cancel_forced": _("Its process was ended, because it did not stop"),
        "soft_time_limit": _("The task was told that its time is over"),
        "claim_asserted": _("The worker reported that it still runs"),
        "succeeded": _("Succeeded"),
        "failed": _("Failed"),
        "retrying": _("The attempt failed and is tried again"),
        "cancelled": _("Cancelled"),
        "released": _("Its worker gave it back"),
        "crashed": _("Its process died"),
        "suspected": _("It was running when its process died"),
        "retried": _("Run again"),
        "put_off": _("Put off"),
        "expired": _("Expired"),
        "changed": _("Changed"),
        "discarded": _("Discarded"),
        "restored": _("Restored"),
    }
    return known.get(kind) or kind.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Stage:
    title: str
    at: datetime | None
    is_done: bool


def cancelling(events: Sequence[TimelineEvent], words: NullTranslations, *, is_final: bool) -> list[Stage]:
    """The four stages of cancelling what runs: asked, told, stopping, ended. Empty where nobody asked for it."""
    _ = words.gettext
    asked = next((event for event in reversed(events) if event.kind == "cancel_requested"), None)
    if asked is None:
        return []
    after = list(events[events.index(asked) :])
    if any(event.kind == "retried" for event in after):
        return []  # that run is over

    def at(*kinds: str) -> TimelineEvent | None:
        return next((event for event in after if event.kind in kinds), None)

    told, stopped = at("cancel_delivered"), at("cancel_acknowledged", "cancel_forced")
    ended = at("cancelled", "succeeded", "failed")
    forced = stopped is not None and stopped.kind == "cancel_forced"
    found = [
        (_("asked"), asked),
        (_("told"), told),
        (_("forced to stop") if forced else _("stopping"), stopped or ended),
        (_("ended"), ended),
    ]
    return [Stage(title, event.at if event else None, event is not None or is_final) for title, event in found]
