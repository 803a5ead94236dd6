"""Outcomes: made from what a task's function returned or raised, or from the limit that it exceeded."""

from __future__ import annotations

import errno
import json
import math
import os
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import ValidationError

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
)
from ..domain.retry import GiveUp, RetryPolicy
from ..domain.tasks import Cancelled, Failed, FailureKind, Fault, Outcome, RetryIn, Succeeded
from ..lifecycle.batch import check_storable

MAX_RESULT_BYTES = 256 * 1024
_MAX_MESSAGE = 2_000
_MAX_TRACEBACK = 32_000
_MAX_NAME = 64  # characters: what a template can name
_SILENT = Vocabulary()  # the platform's own words are always there
# Shorter lines of a longer secret (`}`, `-----`) give nothing away, and occur in other texts, too.
_TELLING = 8

_MAX_CAUSES = 10
_TOO_MANY_FILES = os.strerror(errno.EMFILE)

Redact = Callable[[str], str]


def of_return(task_type: TaskType[Any, Any], returned: Any, *, partial: bool = False, redact: Redact = str) -> Outcome:
    """The result, checked against the type's model, storable and at most 256 KiB; otherwise a failure. `partial`: the
    function met its soft limit and returned what it had. `redact` replaces secret values in the failure."""
    try:
        fits = isinstance(returned, task_type.result)
        model = returned if fits else task_type.result.model_validate(returned)
        value = model.model_dump(mode="json")
        check_storable(value)
        size = len(orjson.dumps(value))
    except Exception as e:  # noqa: BLE001 - the model's own code runs here; another attempt would not help
        return invalid("result_invalid", reason=redact(_brief(e)))
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
    if isinstance(error, TaskCancelled):
        return Cancelled()
    decision = policy.decide(error, failures=failures, max_attempts=max_attempts)
    fault = _fault_of(error, policy.is_retryable(error), redact, limit_seconds, vocabulary)
    return Failed(fault) if isinstance(decision, GiveUp) else RetryIn(fault, decision)


def expired() -> Failed:
    """The task expired while it ran."""
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Failed(_of_platform("expired", "Expired", FailureKind.TIMEOUT, {"time": time}, retryable=True))


def unreadable(error: BaseException, redact: Redact = str) -> Failed:
    """For stored parameters that the type's model does not take: another attempt would not help."""
    if isinstance(error, SecretsUnreadable):
        return invalid("secret_unreadable", reason={"phrase": error.phrase} if error.phrase else str(error))
    return invalid("params_invalid", reason=redact(_brief(error)))


def not_upgraded(error: BaseException, version: int, redact: Redact) -> Failed:
    """For stored parameters of an older version that the type's upgrade function does not take."""
    try:
        why = str(error)
    except Exception:  # noqa: BLE001 - the error's own code fails
        why = ""
    told = f"{type(error).__name__}: {why}" if why else type(error).__name__
    return invalid("params_invalid", reason=redact(f"the upgrade from version {version} failed with {told}"))


def _fault_of(
    error: BaseException, retryable: bool, redact: Redact, limit_seconds: float | None, vocabulary: Vocabulary
) -> Fault:
    # A hard limit is raised nowhere, so there is no trace to show.
    is_hard = isinstance(error, HardTimeLimitExceeded)
    lines = "" if is_hard else "".join(traceback.format_exception(error))
    kind, name = FailureKind.EXCEPTION, type(error).__name__
    given: Mapping[str, Any] | None = None  # values for the words of the code; without them, the message stands
    match error:
        case TaskError():
            code, message = error.code, error.message
            given = error.values if error.values or not message else None
        case Retry():
            code, message = "retry_requested", error.message
            given = None if message else {}
        case TimeLimitExceeded():
            code, message = "hard_time_limit" if is_hard else "soft_time_limit", "It ran longer than it may."
            kind = FailureKind.TIMEOUT
            if limit_seconds is not None:
                message, given = "", {"seconds": f"{limit_seconds:g}"}
            if not is_hard:  # in a coroutine it is a class of our own
                name = SoftTimeLimitExceeded.__name__
        case _:
            code, message = "task_exception", str(error) or name
            if (lack := _lack(error)) is not None:
                code, message, given = lack, "", {"reason": f"{name}: {message}"}
    code = _clean(code)[:100]
    values = None if given is None else _storable(given, redact)
    message = _clean(redact(message)) or sentence_to_store(code, values or {}, vocabulary)
    trace = _clean(redact(lines))[-_MAX_TRACEBACK:] or None
    return Fault(code, message[:_MAX_MESSAGE], name, retryable, kind, trace, values)


def _lack(error: BaseException) -> str | None:
    """The code of what the process had no more of, where that is behind the error: libraries wrap it in errors of their
    own, some of them as text only."""
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            break
        try:
            said = str(cause)
        except Exception:  # noqa: BLE001 - the error's own code fails
            said = ""
        if getattr(cause, "errno", None) == errno.EMFILE or _TOO_MANY_FILES in said:
            return "out_of_descriptors"
        if isinstance(cause, RuntimeError) and "can't start new thread" in said:
            return "out_of_threads"
        cause = cause.__cause__ or cause.__context__
    return None


def _of_platform(
    code: str, error_type: str, kind: FailureKind, given: Mapping[str, Any], *, retryable: bool = False
) -> Fault:
    values = _storable(given, str)
    message = sentence_to_store(code, values, _SILENT)[:_MAX_MESSAGE]
    return Fault(code, message, error_type, retryable, kind, values=values)


def _storable(values: Mapping[str, Any], redact: Redact) -> dict[str, Any]:
    """The values as they are stored: at most 20, of 500 characters each, without secrets."""
    # Redacted before they are cut: half a secret would not be recognised.
    kept = list(values.items())[:MAX_PLACEHOLDERS]
    return {_clean(redact(name))[:_MAX_NAME]: _storable_value(value, redact) for name, value in kept}


def _storable_value(value: Any, redact: Redact) -> Any:
    match value:
        case None | bool():
            return value
        case {"phrase": str(name), **others} if not others:
            return {"phrase": _text(name, redact)}
    text = _text(value, redact)
    # A number that is no secret stays one: exactly JSON's, so that every reader can take it.
    if type(value) is int and -(2**53) < value < 2**53 and text == str(value):
        return value
    if type(value) is float and math.isfinite(value) and text == str(value):
        return value
    return text


def _text(value: Any, redact: Redact) -> str:
    text = _clean(redact(str(value)))
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def root_of(error: BaseException) -> BaseException:
    """The interrupt that ended a task, where an exception group carries it, as from an `asyncio.TaskGroup`."""
    while isinstance(error, BaseExceptionGroup) and (found := error.subgroup(Interrupt)) is not None:
        error = found.exceptions[0]
    return error


def unspeakable(error: BaseException) -> Failed:
    """For an error whose own code fails, so that its message cannot be read."""
    name = type(error).__name__
    return Failed(Fault("task_exception", f"{name}, which cannot be shown", name, False))


def strike_out(secrets: list[str]) -> Redact:
    """A function that replaces each of the secret texts by `***`."""
    # A secret of several lines (a PEM file) may appear line by line, and escaped within quotes.
    parts = {p for s in secrets for p in (s, *(line for line in s.splitlines() if len(line) >= _TELLING))}
    texts = sorted({t for p in parts if p for t in _spellings(p)}, key=len, reverse=True)
    if not texts:
        return str

    def redact(text: str) -> str:
        text = str(text)
        for secret in texts:
            text = text.replace(secret, "***")
        return text

    return redact


def _spellings(text: str) -> tuple[str, ...]:
    return text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]


def _clean(text: str) -> str:
    """The text without the characters that PostgreSQL cannot hold."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def invalid(code: str, *, error_type: str = "Invalid", **values: Any) -> Failed:
    """For data that do not fit: another attempt would not help."""
    return Failed(_of_platform(code, error_type, FailureKind.INVALID, values))


def _brief(error: BaseException) -> str:
    if not isinstance(error, ValidationError):
        return str(error) or type(error).__name__
    details: list[Mapping[str, Any]] = error.errors(include_input=False, include_url=False, include_context=False)  # type: ignore[assignment]
    return "; ".join(f"{'.'.join(map(str, d['loc'])) or 'value'}: {d['msg']}" for d in details[:5])
