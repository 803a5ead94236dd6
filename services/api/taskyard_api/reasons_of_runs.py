"""Why a task runs, or how it ended, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from taskyard.domain.messages import Message, message
from taskyard.domain.tasks import State

from . import views
from .explanation_answers import Code
from .translation import Words

Row = Mapping[Any, Any]


class Reason(NamedTuple):
    code: Code
    message: Message
    values: dict[str, Any]


def running(task: Row) -> Iterator[Reason]:
    if task["is_alive"] is False:
        told = {"worker": task["worker"], "seconds": whole(task["silent_seconds"])}
        text = message(
            "Its worker {worker} has not reported for {seconds} s: the scheduler is about to take the task back.",
            **told,
        )
        if not task["leads"]:
            text = message(
                "Its worker {worker} has not reported for {seconds} s, and a scheduler has to take the task back.",
                **told,
            )
        yield Reason(Code.WORKER_SILENT, text, {"worker": task["worker"]})
    if (asked := task["cancel_requested_at"]) is not None:
        text = message("It was asked to stop at {time}.", time=told_time(asked))
        yield Reason(Code.CANCELLING, text, {"since": asked})
    began = task["started_at"]
    progress = views.progress(task)
    if task["has_begun"] is False and progress is None:
        text = message(
            "It was given to {worker} at {time}, as attempt {attempt}, and is about to begin.",
            worker=task["worker"],
            time=told_time(began),
            attempt=task["attempt"],
        )
        yield Reason(Code.CLAIMED, text, {"since": began, "worker": task["worker"]})
        return
    hard = began + timedelta(seconds=task["hard_timeout_seconds"])
    text = message(
        "It has run since {time} on {worker}, as attempt {attempt}. Its hard limit ends it at {limit}.",
        time=told_time(began),
        worker=task["worker"],
        attempt=task["attempt"],
        limit=told_time(hard),
    )
    values = {"since": began, "worker": task["worker"], "hard_limit_at": hard}
    yield Reason(
        Code.RUNNING, text, {**values, "soft_limit_at": began + timedelta(seconds=task["soft_timeout_seconds"])}
    )
    if progress is not None:
        percent, said = progress["percent"], progress["message"]
        text = message("It reports {percent} %.", percent=percent)
        if percent is None:
            text = message("It reports: {message}", message=said)
        elif said:
            text = message("It reports {percent} %: {message}", percent=percent, message=said)
        yield Reason(Code.PROGRESS, text, {"percent": percent})


def ended(task: Row, words: Words) -> Iterator[Reason]:
    at = task["finished_at"]
    values, time = {"finished_at": at}, told_time(at)
    match State(task["state"]):
        case State.SUCCEEDED:
            yield Reason(Code.SUCCEEDED, message("It succeeded at {time}.", time=time), values)
            if task["partial"]:
                text = message("It reached its soft limit, so its result is partial.")
                yield Reason(Code.PARTIAL, text, {})
        case State.FAILED:
            error = words.failure(task["error"] or {}, views.type_of(task))
            text = message("It failed at {time}: {reason}", time=time, reason=error.get("message", ""))
            yield Reason(Code.FAILED, text, {**values, "error_code": error.get("code")})
            if (put_away := task["discarded_at"]) is not None:
                text = message("It was discarded from the dead letters at {time}.", time=told_time(put_away))
                yield Reason(Code.DISCARDED, text, {})
        case _:
            yield Reason(Code.CANCELLED, message("It was cancelled at {time}.", time=time), values)


def told_time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def whole(seconds: float) -> int:
    return max(1, round(seconds))
