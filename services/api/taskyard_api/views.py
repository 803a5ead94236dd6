"""Rows as JSON for callers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import falcon.asgi
import orjson

from taskyard.catalogue.secrets import has_mark, masked
from taskyard.catalogue.sizes import has_many_digits
from taskyard.domain.callbacks import DELIVER
from taskyard.domain.messages import message
from taskyard.domain.tasks import FINAL, State, celery_word
from taskyard.lifecycle.submit import NewTask, SubmittedTask
from taskyard.store.selection_runs import STATUS, Kind
from taskyard.store.timeline import TimelineEvent
from taskyard.store.tree_items import TreeItem

from . import answers, selection_run_models
from .auth import Caller, Scope
from .translation import TypeName, Words

# In the order in which a task is shown.
_BLANK: dict[str, Any] = dict.fromkeys(answers.Task.model_fields)
_UNTOUCHED = {**_BLANK, "attempt": 0, "crashes": 0, "partial": False}
_AS_STORED = tuple(_BLANK.keys() - {"params", "result", "error", "progress", "trace_id", "callback_url", "callback_on"})


def send(resp: falcon.asgi.Response, status: int, value: Any, words: Words | None = None) -> None:
    """`words`: the language of the value, where it depends on the reader's."""
    if words is not None:
        words.tell(resp)
    resp.status = status
    resp.content_type = "application/json"
    resp.data = orjson.dumps(value, option=orjson.OPT_UTC_Z)


def encode(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def _params(text: str) -> orjson.Fragment:
    """Stored parameters with their secrets masked. Read only where they have to be: values need much more memory than
    text."""
    raw = text.encode()
    return orjson.Fragment(orjson.dumps(masked(orjson.loads(raw)))) if has_mark(raw) else _stored(text)


def _may_be_told(row: Mapping[Any, Any], caller: Caller) -> bool:
    """Whether the caller may see the parameters. Those of a delivery hold the result of the task that it tells of,
    which may be in a queue that is not the caller's."""
    if row["name"] != DELIVER or caller.queues is None:
        return True
    payload = orjson.loads(row["params"]).get("payload")
    return payload is not None and caller.sees(payload["data"]["queue"])


def _stored(text: str) -> orjson.Fragment:
    """Stored JSON as it is. Results have no sealed values, so `{"$secret": ...}` in one is the task's own."""
    raw = text.encode()
    # PostgreSQL writes 1e30 as a 1 with thirty zeros.
    return orjson.Fragment(orjson.dumps(orjson.loads(raw)) if has_many_digits(raw) else raw)


def _result(row: Mapping[Any, Any]) -> orjson.Fragment | None:
    return None if row["result"] is None else _stored(row["result"])


def told(caller: Caller, shown: dict[str, Any], without_read: type[answers.Shown]) -> dict[str, Any]:
    """What an answer shows to this caller: all of it with the scope `read`, else what `without_read` names. Every
    answer of a call that does not need `read` passes here."""
    if caller.has(Scope.READ):
        return shown
    return {name: shown[name] for name in without_read.model_fields if name in shown}


def item(caller: Caller, found: TreeItem) -> dict[str, Any]:
    shown = {name: found.id if name == "item_id" else getattr(found, name) for name in answers.TreeItem.model_fields}
    return told(caller, shown, answers.ToldTreeItem)


class TaskViews:
    """Each task as the caller may see it."""

    def of_row(self, row: Mapping[Any, Any], caller: Caller, words: Words) -> dict[str, Any]:
        """A task as `store.reads` returns it."""
        return told(caller, self._of_row(row, caller, words), answers.ToldTask)

    def _of_row(self, row: Mapping[Any, Any], caller: Caller, words: Words) -> dict[str, Any]:
        shown = _BLANK.copy()
        for name in _AS_STORED:
            shown[name] = row[name]
        shown["params"] = _params(row["params"]) if _may_be_told(row, caller) else {}
        shown["result"] = _result(row)
        shown["error"] = self._error(row, words)
        shown["progress"] = progress(row)
        shown["trace_id"] = row["traceparent"][3:35] if row["traceparent"] else None
        if (callback := row["callback"]) is not None:
            shown["callback_url"], shown["callback_on"] = callback["url"], callback["on"]
        return shown

    def of_new(self, new: NewTask, written: SubmittedTask, caller: Caller) -> dict[str, Any]:
        """A task that has just been committed, without reading it."""
        shown = _UNTOUCHED.copy()
        shown["id"] = new.id
        shown["name"] = new.name
        shown["queue"] = new.queue
        shown["state"] = written.state
        shown["params"] = masked(new.params) if has_mark(orjson.dumps(new.params)) else new.params
        shown["max_attempts"] = new.max_attempts
        shown["soft_timeout_seconds"] = new.soft_timeout_seconds
        shown["hard_timeout_seconds"] = new.hard_timeout_seconds
        shown["created_at"] = written.created_at
        shown["run_at"] = written.run_at
        shown["expires_at"] = written.expires_at
        shown["tags"] = new.tags
        shown["request_id"] = new.request_id
        shown["trace_id"] = new.traceparent[3:35] if new.traceparent else None
        shown["version"] = new.version
        shown["submitted_by"] = new.submitted_by
        shown["parent_id"] = new.parent_id
        if new.callback is not None:
            shown["callback_url"], shown["callback_on"] = new.callback.url, new.callback.on
        return told(caller, shown, answers.ToldTask)

    def _error(self, row: Mapping[Any, Any], words: Words) -> dict[str, Any] | None:
        if row["error"] is None:
            return None
        return {"attempt": 0, "support_url": None, **words.failure(row["error"], type_of(row))}


def type_of(row: Mapping[Any, Any]) -> TypeName:
    return TypeName(row["name"], row["version"])


def progress(row: Mapping[Any, Any]) -> dict[str, Any] | None:
    current, total = row["progress_current"], row["progress_total"]
    if current is None:
        return None
    return {
        "percent": percent(current, total),
        "current": _whole(current),
        "total": _whole(total),
        "message": row["progress_message"],
    }


def percent(current: float, total: float | None) -> float | None:
    """0 to 100 with one decimal; None where the total is not known."""
    if not total or total < 0:
        return None
    share = current / total * 100
    return None if math.isnan(share) else _whole(round(min(100.0, max(0.0, share)), 1))


def _whole(number: float | None) -> float | None:
    """Without a fraction where it has none. What the column holds beyond what workers take stays a float: JSON has no
    integer for it that every reader takes."""
    return int(number) if number is not None and abs(number) <= 2**53 and number == int(number) else number


_WORDS = {
    State.BLOCKED: message("Waiting for other tasks"),
    State.SCHEDULED: message("Scheduled for later"),
    State.QUEUED: message("Waiting for a worker"),
    State.RUNNING: message("Running"),
    State.RETRYING: message("Waiting for the next attempt"),
    State.SUCCEEDED: message("Done"),
    State.FAILED: message("Failed"),
    State.CANCELLED: message("Cancelled"),
}


def celery_status(row: Mapping[Any, Any], words: Words) -> dict[str, Any]:
    state = State(row["state"])
    at = progress(row)
    word = celery_word(state, has_progress=at is not None)
    error = words.failure(row["error"], type_of(row))["message"] if row["error"] else None
    result = _result(row)
    is_final = state in FINAL
    done = 100.0 if state is State.SUCCEEDED else 0.0
    info: Any = None
    match state:
        case State.SUCCEEDED:
            info = result
        case State.FAILED | State.RETRYING:
            info = error
        case State.RUNNING:
            info = at
    return {
        "task_id": row["id"],
        "state": word,
        "status": (at["message"] if at and not is_final else "") or words.say(_WORDS[state]),
        "progress": done if is_final or at is None else (at["percent"] or 0.0),
        "result": result,
        "error": error,
        "support_url": words.support_url if error else None,
        "info": info,
        "ready": is_final,
        "successful": state is State.SUCCEEDED,
    }


def selection_run(row: Mapping[Any, Any], caller: Caller, words: Words) -> dict[str, Any]:
    """A run as `store.selection_runs` returns it."""
    state = State(row["state"])
    error = words.failure(row["error"], type_of(row)) if row["error"] else None
    share = percent(row["progress_current"] or 0.0, row["progress_total"]) or 0.0
    shown = {
        "id": row["id"],
        "task_id": row["id"],
        "kind": Kind.of(row["name"]),
        "status": STATUS[state],
        "progress_percentage": 100.0 if state is State.SUCCEEDED else share,
        "log_messages": row["messages"],
        "error_message": error["message"] if error else None,
        "error_code": error["code"] if error else None,
        "support_url": words.support_url if error else None,
        "created_at": row["created_at"],
        "completed_at": row["finished_at"],
        "result": _result(row),
    }
    return told(caller, shown, selection_run_models.ToldSelectionRun)


def new_selection_run(kind: Kind, written: SubmittedTask, caller: Caller) -> dict[str, Any]:
    """A run whose task has just been committed."""
    shown: dict[str, Any] = {**dict.fromkeys(selection_run_models.SelectionRun.model_fields), "log_messages": []}
    shown |= {"id": written.id, "task_id": written.id, "kind": kind, "status": STATUS[written.state]}
    shown |= {"progress_percentage": 0.0, "created_at": written.created_at}
    return told(caller, shown, selection_run_models.ToldSelectionRun)


def event(found: TimelineEvent, words: Words, of: TypeName, *, with_traceback: bool) -> dict[str, Any]:
    """An event of the timeline of a task of the type `of`."""
    data = found.data
    if isinstance(data.get("error"), dict):
        data = {**data, "error": words.failure(data["error"], of)}
    if with_traceback and found.traceback:
        data = {**data, "traceback": found.traceback}
    return {"id": str(found.id), "kind": found.kind, "at": found.at, "attempt": found.attempt, "data": data}
