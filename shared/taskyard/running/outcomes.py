"""Outcomes: made from what a task's function returned or raised, or from the limit that it exceeded."""

from __future__ import annotations

import errno
import math
import os
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson

from ..catalogue.secrets import SecretsUnreadable
from ..catalogue.types import TaskType
from ..catalogue.words import MAX_PLACEHOLDERS, MAX_VALUE, Vocabulary, sentence_to_store
from ..domain.errors import (
    HardTimeLimitExceeded,
    Interrupt,
    Retry,
    SoftTimeLimitExceeded,
    TaskCancelled,
    TaskError,
    TimeLimitExceeded,
    Unfinished,
)
from ..domain.messages import Message, as_json, changed, message
from ..domain.retry import GiveUp, RetryPolicy
from ..domain.tasks import Cancelled, Failed, FailureKind, Fault, Outcome, Released, RetryIn, Succeeded
from .places import place_of
from .reasons import reason_of, returned_nothing, why_not_stored
from .result import MAX_RESULT_BYTES, TooManyValues, stored_form
from .speech import Redact, name_of, said, text_of

_MAX_MESSAGE = 2_000
_MAX_TRACEBACK = 32_000
_MAX_CODE = 100
_MAX_TYPE = 200
_MAX_PLACE = 200
_MAX_NAME = 64  # characters: what a template can name
_SILENT = Vocabulary()  # the platform's own words are always there
_MAX_CAUSES = 10
_TOO_MANY_FILES = os.strerror(errno.EMFILE)
# What the interpreter has noted, whatever the error's class says.
_TRACEBACK_OF = vars(BaseException)["__traceback__"].__get__
_CAUSE_OF = vars(BaseException)["__cause__"].__get__
_CONTEXT_OF = vars(BaseException)["__context__"].__get__


def of_return(task_type: TaskType[Any, Any], returned: Any, *, partial: bool = False, redact: Redact = str) -> Outcome:
    """The result, checked against the type's model, storable and at most 256 KiB; otherwise a failure. `partial`: the
    function met its soft limit and returned what it had. `redact` replaces secret values in both."""
    try:
        fits = issubclass(type(returned), task_type.result)
        model = returned if fits else task_type.result.model_validate(returned)
        value = stored_form(model, redact)
        size = len(orjson.dumps(value))
    except TooManyValues:
        return invalid("result_too_large")
    except Exception as e:  # noqa: BLE001 - the model's own code runs here; another attempt would not help
        if returned is None:
            return invalid("result_invalid", redact=redact, reason=returned_nothing(task_type.result))
        return invalid("result_invalid", redact=redact, reason=reason_of(e))
    if size > MAX_RESULT_BYTES:
        return invalid("result_too_large")
    return Succeeded(value, partial)


def of_error(
    error: BaseException,
    policy: RetryPolicy,
    *,
    failures: int,
    max_attempts: int,
    redact: Redact = str,
    limit_seconds: float | None = None,
    vocabulary: Vocabulary = _SILENT,
) -> Outcome:
    """`failures` includes this one; `redact` replaces secret values in what is kept; `limit_seconds`: the time limit
    that ended the attempt; `vocabulary`: the words of the task type."""
    if issubclass(type(error), TaskCancelled):
        return Cancelled()
    if issubclass(type(error), Unfinished):
        return Released("its time was nearly over, and it goes on where it is")
    try:
        decision = policy.decide(error, failures=failures, max_attempts=max_attempts)
        retryable = policy.is_retryable(error)
    except BaseException:  # noqa: BLE001 - the error's own code fails: it counts as any error does
        decision = policy.decide(Exception(), failures=failures, max_attempts=max_attempts)
        retryable = policy.is_retryable(Exception())
    fault = _fault_of(error, retryable, redact, limit_seconds, vocabulary)
    return Failed(fault) if isinstance(decision, GiveUp) else RetryIn(fault, decision)


def expired() -> Failed:
    """The task expired while it ran."""
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Failed(_of_platform("expired", "Expired", FailureKind.TIMEOUT, {"time": time}, retryable=True))


def unreadable(error: BaseException, redact: Redact = str) -> Failed:
    """For stored parameters that the type's model does not take: another attempt would not help."""
    if isinstance(error, SecretsUnreadable):
        return invalid("secret_unreadable", reason={"phrase": error.phrase} if error.phrase else str(error))
    return invalid("params_invalid", redact=redact, reason=reason_of(error))


def not_stored(error: BaseException) -> Failed:
    """For an outcome that cannot be stored."""
    name = name_of(type(error))
    return invalid("result_not_storable", error_type=name, reason=why_not_stored(error))


def not_upgraded(error: BaseException, version: int, redact: Redact) -> Failed:
    """For stored parameters of an older version that the type's upgrade function does not take."""
    why, name = text_of(error), name_of(type(error))
    told = message(
        "the upgrade from version {version} failed with {error}",
        version=version,
        error=f"{name}: {why}" if why else name,
    )
    return invalid("params_invalid", redact=redact, reason=told)


def _fault_of(
    error: BaseException, retryable: bool, redact: Redact, limit_seconds: float | None, vocabulary: Vocabulary
) -> Fault:
    # Nothing of the error is taken for what it should be: its class may leave attributes out, or compute them.
    of, code, name, kind = type(error), "task_exception", name_of(type(error)), FailureKind.EXCEPTION
    message: object = ""
    given: Mapping[str, Any] | None = None  # values for the words of the code; without them, the message stands
    if issubclass(of, TaskError):
        code, message, own = _read(error, "code", name), _read(error, "message", ""), _read(error, "values", {})
        given = own if type(own) is dict and (own or not text_of(message)) else None
    elif issubclass(of, Retry):
        code, message = "retry_requested", _read(error, "message", "")
        given = None if text_of(message) else {}
    elif issubclass(of, TimeLimitExceeded):
        code = "hard_time_limit" if issubclass(of, HardTimeLimitExceeded) else "soft_time_limit"
        kind, message = FailureKind.TIMEOUT, "It ran longer than it may."
        if limit_seconds is not None:
            message, given = "", {"seconds": f"{limit_seconds:g}"}
        if code == "soft_time_limit":  # in a coroutine it is a class of our own
            name = SoftTimeLimitExceeded.__name__
    else:
        message = text_of(error) or name
        if (lack := _lack(error)) is not None:
            code, message, given = lack, "", {"reason": f"{name}: {message}"}
    code = said(code, redact)[:_MAX_CODE]
    values = None if given is None else _storable(given, redact)
    told = said(message, redact)[:_MAX_MESSAGE] or sentence_to_store(code, values or {}, vocabulary)[:_MAX_MESSAGE]
    # A hard limit is raised nowhere, so there is no trace to show.
    lines = "" if code == "hard_time_limit" else _trace(error)
    trace = said(lines, redact)[-_MAX_TRACEBACK:] or None
    place = None if code == "hard_time_limit" else place_of(error)
    return Fault(
        code,
        told,
        said(name, redact, _MAX_TYPE),
        retryable,
        kind,
        trace,
        _stored(values),
        None if place is None else said(place, redact, _MAX_PLACE),
    )


def _read(error: BaseException, name: str, default: object) -> Any:
    try:
        return getattr(error, name, default)
    except BaseException:  # noqa: BLE001 - the error's own code fails
        return default


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:  # noqa: BLE001 - the error's own code fails, or that of one of its causes
        place = _TRACEBACK_OF(error)
        return "".join([*traceback.format_tb(place), f"{name_of(type(error))}: {text_of(error)}\n"])


def _lack(error: BaseException) -> str | None:
    """The code of what the process had no more of, where that is behind the error: libraries wrap it in errors of their
    own, some of them as text only."""
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            break
        text, number = text_of(cause), _read(cause, "errno", None)
        if (type(number) is int and number == errno.EMFILE) or _TOO_MANY_FILES in text:
            return "out_of_descriptors"
        if issubclass(type(cause), RuntimeError) and "can't start new thread" in text:
            return "out_of_threads"
        cause = _CAUSE_OF(cause) or _CONTEXT_OF(cause)
    return None


def _of_platform(
    code: str,
    error_type: str,
    kind: FailureKind,
    given: Mapping[str, Any],
    *,
    retryable: bool = False,
    redact: Redact = str,
) -> Fault:
    values = _storable(given, redact)
    sentence = sentence_to_store(code, values, _SILENT)[:_MAX_MESSAGE]
    return Fault(code, sentence, error_type, retryable, kind, values=_stored(values))


def _stored(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else {name: as_json(value) for name, value in values.items()}


def _storable(values: Mapping[str, Any], redact: Redact) -> dict[str, Any]:
    """The values as they can be stored: at most 20, of 500 characters each, without secrets."""
    kept = list(values.items())[:MAX_PLACEHOLDERS]
    return {said(name, redact)[:_MAX_NAME]: _storable_value(value, redact) for name, value in kept}


def _storable_value(value: Any, redact: Redact) -> Any:
    if value is None or type(value) is bool:
        return value
    if type(value) is dict and value.keys() == {"phrase"} and isinstance(value["phrase"], str):
        return {"phrase": said(value["phrase"], redact, MAX_VALUE)}
    if issubclass(type(value), Message):
        return changed(value, partial(said, redact=redact, most=MAX_VALUE))
    text = said(value, redact, MAX_VALUE)
    # A number that is no secret stays one: exactly JSON's, so that every reader can take it.
    if type(value) is int and -(2**53) < value < 2**53 and text == str(value):
        return value
    if type(value) is float and math.isfinite(value) and text == str(value):
        return value
    return text


def root_of(error: BaseException) -> BaseException:
    """The interrupt that ended a task, where an exception group carries it, as from an `asyncio.TaskGroup`."""
    try:
        while issubclass(type(error), BaseExceptionGroup) and (found := error.subgroup(Interrupt)) is not None:  # type: ignore[attr-defined]
            error = found.exceptions[0]
    except BaseException:  # noqa: BLE001 - the group's own code fails
        return error
    return error


def invalid(code: str, *, error_type: str = "Invalid", redact: Redact = str, **values: Any) -> Failed:
    """For data that do not fit: another attempt would not help."""
    return Failed(_of_platform(code, error_type, FailureKind.INVALID, values, redact=redact))
