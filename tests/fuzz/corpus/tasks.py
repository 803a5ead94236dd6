"""Hostile tasks."""

from __future__ import annotations

import json
from typing import Any

from . import ANY, Body, one_of

_SHOWN = "what is stored can be shown, and what cannot be stored is refused with a word"
_TOLD = "what was raised is told, with its type"
_SECRETS = "a secret stands in no answer and no log"
_OWN = "an ordinary task keeps what its neighbours spoil"


def submit(name: str, params: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"name": name, "params": params, "max_attempts": 1, **more}).encode()


def _hand_over(place: str, value: str, *ends: str) -> Body:
    body = submit("tests.fuzz.hand_over", {"place": place, "value": value})
    return Body(f"{value} as {place}", _SHOWN, body, 202, one_of(*ends))


def hands_secret(place: str, secret: str) -> Body:
    body = submit("tests.fuzz.hand_over", {"place": place, "value": "secret", "token": secret})
    return Body(f"a secret as {place}", _SECRETS, body, 202)


def _raises(what: str, *ends: str) -> Body:
    return Body(f"raised: {what}", _TOLD, submit("tests.fuzz.raise", {"what": what}), 202, one_of(*ends))


def _ends_process(how: str) -> Body:
    body = submit("tests.fuzz.end_process", {"how": how})
    ends = one_of("crash_limit")
    return Body(f"ends its process: {how}", "it alone pays for it", body, 202, ends, ends_process=True)


SPEAK = Body("ordinary", _OWN, submit("tests.fuzz.speak", {}), 202, one_of("succeeded"))
TASKS = (
    _hand_over("progress, total", "2**64", "task_exception"),
    _hand_over("progress, total", "10**400", "task_exception"),
    _hand_over("progress, current", "NaN", "task_exception"),
    _hand_over("progress, current", "infinity", "task_exception"),
    _hand_over("result", "NaN", "result_invalid", "result_not_storable"),
    _hand_over("inside the result", "infinity", "result_invalid", "result_not_storable"),
    _hand_over("result", "keys that are no text", "result_invalid", "result_not_storable"),
    _hand_over("inside the result", "a set of NaN", "result_invalid", "result_not_storable"),
    _hand_over("result", "10**400", "result_invalid", "result_not_storable"),
    _hand_over("result", "a cycle", "result_invalid", "result_not_storable"),
    _hand_over("result", "a mark of secrets", "succeeded"),
    _hand_over("result", "an iterator without an end", "result_too_large"),
    _hand_over("instead of the result", "none", "result_invalid"),
    _hand_over("Retry, after", "a delay of seconds", "retry_requested"),
    _hand_over("TaskError, value", "unspeakable"),
    _hand_over("raised", "unspeakable", "task_exception"),
    _hand_over("log", "3,000,000 letters", "succeeded"),
    _hand_over("printed", "3,000,000 letters", "succeeded"),
    _hand_over("printed", "surrogate", "succeeded"),
    _hand_over("logged", "-(10**5000)", "succeeded"),
    _hand_over("logged", "unspeakable", "succeeded"),
    _hand_over("logged as a number", "bytes", "succeeded"),
    _hand_over("standard output", "none", "succeeded"),
    _hand_over("standard output", "a type", "succeeded"),
    _hand_over("submit, parameter", "keys that are no text", "params_invalid"),
    _hand_over("submit, delay", "the longest delay"),
    _raises("an error that cannot be shown", "task_exception"),
    _raises("SystemExit", "task_exception"),
    _raises("KeyboardInterrupt", "task_exception"),
    _raises("a group of SystemExits", "task_exception"),
    _raises("TaskError(5, 6)"),
    _raises("RecursionError", "task_exception"),
    SPEAK,
)
ENDS_PROCESS = tuple(_ends_process(how) for how in ("exit", "kill", "fault"))


def refused_secret(secret: str) -> Body:
    """Where it does not fit, its value is not repeated."""
    body = submit("tests.fuzz.hand_over", {"place": "log", "value": "secret", "token": {"not": [secret]}})
    return Body("a secret that does not fit", _SECRETS, body, 422, ANY)
