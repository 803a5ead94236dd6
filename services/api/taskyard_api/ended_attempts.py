"""What became of an attempt, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskyard.domain.messages import Message, message, verbatim
from taskyard.domain.tasks import State

from . import views
from .explanation_answers import left_out
from .translation import Words

Row = Mapping[Any, Any]


def attempt_told(row: Row, task: Row, words: Words) -> dict[str, Any]:
    error = words.failure(row["error"], views.type_of(task)) if row["error"] else {}
    shown = {
        "attempt": row["attempt"],
        "outcome": row["outcome"],
        "message": words.say(_outcome(row, task, error.get("message", ""))),
        "worker": row["worker"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
    }
    return shown | left_out({"error_code": error.get("code"), "retry_at": row["retry_at"]})


def _outcome(row: Row, task: Row, reason: str) -> Message:
    match row["outcome"]:
        case "succeeded":
            return message("It succeeded.")
        case "cancelled":
            return message("It was cancelled while it ran.")
        case "released":
            return message("Its worker gave it back: {cause}.", cause=row["cause"] or "-")
        case "retrying" if task["state"] == State.RETRYING and row["attempt"] == task["attempt"]:
            time = f"{task['due_at']:%Y-%m-%dT%H:%M:%SZ}"
            return message("It failed and is tried again at {time}: {reason}", time=time, reason=reason)
        case "retrying":
            return message("It failed and was tried again: {reason}", reason=reason)
        case "failed":
            return message("It failed: {reason}", reason=reason)
    return verbatim(reason or row["cause"] or row["outcome"])  # crashed, suspected: the failure's own words
