"""Task types that hand over what no task should, in every place where a task hands something over."""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, NoReturn

from pydantic import Field

from taskyard import Params, Result, Retry, TaskContext, TaskError, task
from taskyard.catalogue.secrets import Secret
from taskyard.domain.retry import RetryPolicy

_ONCE = RetryPolicy(retries=0)
SPOKEN = "this line stands in the log of task {}"


class Unspeakable:
    """Every way to show it raises."""

    def __str__(self) -> str:
        raise ValueError("not to be shown")

    __repr__ = __format__ = __str__  # type: ignore[assignment]


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise SystemExit("not to be shown")


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise KeyError("a text that is none")


def _cycle() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def _deep() -> list[Any]:
    inner: list[Any] = []
    for _ in range(2_000):
        inner = [inner]
    return inner


VALUES: dict[str, Callable[[], Any]] = {
    "2**53 + 1": lambda: 2**53 + 1,
    "2**64": lambda: 2**64,
    "10**400": lambda: 10**400,
    "-(10**5000)": lambda: -(10**5000),
    "1e308": lambda: 1e308,
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("-inf"),
    "minus one": lambda: -1,
    "a decimal": lambda: Decimal("sNaN"),
    "true": lambda: True,
    "none": lambda: None,
    "empty": lambda: "",
    "NUL": lambda: "a\0b",
    "surrogate": lambda: "\ud800",
    "separators": lambda: "a\r\nb\u2028c\x85d\x1b[2Je",
    "right to left": lambda: "\u202eevil\u2066",
    "300,000 letters": lambda: "x" * 300_000,
    "3,000,000 letters": lambda: "x" * 3_000_000,
    "10,000 lines": lambda: "x\n" * 10_000,
    "bytes": lambda: b"\xff",
    "a set": lambda: {1, 2},
    "a set of NaN": lambda: {float("nan")},
    "keys that are no text": lambda: {1: "a", None: "b", (1, 2): "c", "1": "d"},
    "a mark of secrets": lambda: {"$secret": "x"},
    "a mark with more": lambda: {"$secret": "x", "y": 1},
    "a cycle": _cycle,
    "2,000 lists": _deep,
    "an iterator without an end": itertools.count,
    "a subclass of str": lambda: Text("text"),
    "unspeakable": Unspeakable,
    "a phrase": lambda: {"phrase": "no such phrase"},
    "braces": lambda: "{0.__class__} {cause} %s %(x)s {",
    "a delay of seconds": lambda: 30,
    "a negative delay": lambda: timedelta(days=-1),
    "the longest delay": lambda: timedelta.max,
    "a type": lambda: object,
}


def _raise(error: BaseException) -> NoReturn:
    raise error


def _with_note(value: Any) -> BaseException:
    error = ValueError("noted")
    error.add_note(value)
    return error


def _with_cause(value: Any) -> NoReturn:
    try:
        raise ValueError(value)
    except ValueError as e:
        raise RuntimeError("outer") from e


def named(value: Any) -> dict[str, Any]:
    return {value: 1}


def _class_named(value: Any) -> BaseException:
    made: BaseException = type(value, (Exception,), {})("named")
    return made


def _said(value: Any, _: TaskContext) -> None:
    print(value)
    print(value, end="")
    print(value, file=sys.stderr)


def _set_stdout(value: Any, _: TaskContext) -> None:
    sys.stdout = value
    sys.stderr = value


PLACES: dict[str, Callable[[Any, TaskContext], Any]] = {
    "result": lambda value, _: {"value": value},
    "inside the result": lambda value, _: {"value": [{"a": value}]},
    "a key of the result": lambda value, _: {"value": {value: 1}},
    "instead of the result": lambda value, _: value,
    "progress, current": lambda value, context: context.progress(value, 10),
    "progress, total": lambda value, context: context.progress(1, value),
    "progress, message": lambda value, context: context.progress(1, 2, value),
    "log": lambda value, context: context.log(value),
    "log, level": lambda value, context: context.log("x", level=value),
    "TaskError, code": lambda value, _: _raise(TaskError(value)),
    "TaskError, message": lambda value, _: _raise(TaskError("fuzz_code", value)),
    "TaskError, value": lambda value, _: _raise(TaskError("fuzz_code", what=value)),
    "TaskError, name": lambda value, _: _raise(TaskError("fuzz_code", **named(value))),
    "TaskError, retryable": lambda value, _: _raise(TaskError("fuzz_code", retryable=value)),
    "Retry, after": lambda value, _: _raise(Retry(after=value)),
    "Retry, message": lambda value, _: _raise(Retry(value)),
    "raised": lambda value, _: _raise(ValueError(value)),
    "raised in a group": lambda value, _: _raise(ExceptionGroup("several", [KeyError(value), OSError(value, value)])),
    "the name of an exception": lambda value, _: _raise(_class_named(value)),
    "a note": lambda value, _: _raise(_with_note(value)),
    "a cause": lambda value, _: _with_cause(value),
    "SystemExit": lambda value, _: sys.exit(value),
    "printed": _said,
    "standard output": _set_stdout,
    "logged": lambda value, _: logging.getLogger("fuzz").warning("said %s", value),
    "logged as a number": lambda value, _: logging.getLogger("fuzz").warning("said %d", value),
    "submit, parameter": lambda value, context: context.submit("diagnostics.echo", {"value": value}),
    "submit, name": lambda value, context: context.submit(value, {}),
    "submit, queue": lambda value, context: context.submit("diagnostics.echo", {"value": 1}, queue=value),
    "submit, tags": lambda value, context: context.submit("diagnostics.echo", {"value": 1}, tags=[value]),
    "submit, delay": lambda value, context: context.submit("diagnostics.echo", {"value": 1}, delay=value),
}
# A task may give its secret to another one: that is no fault of the platform's.
TELLS = sorted(place for place in PLACES if not place.startswith("submit") and place != "standard output")

RAISED: dict[str, Callable[[], BaseException]] = {
    "an error that cannot be shown": UnspeakableError,
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "a group of SystemExits": lambda: BaseExceptionGroup("x", [SystemExit(1), KeyboardInterrupt()]),
    "TaskError(5, 6)": lambda: TaskError(5, 6),  # type: ignore[arg-type]
}


class HandOverParams(Params):
    place: str
    value: str = Field(description="The name of a value, or `secret` for the token.")
    token: Secret[str] | None = None


class RaiseParams(Params):
    what: str


class EndParams(Params):
    how: Literal["exit", "kill", "fault"]


class Handed(Result):
    value: Any = None


@task("tests.fuzz.hand_over", retry=_ONCE)
def hand_over(params: HandOverParams, context: TaskContext) -> Handed:
    value = params.token.reveal() if params.token is not None else VALUES[params.value]()
    returned = PLACES[params.place](value, context)
    return returned if "result" in params.place else Handed()


@task("tests.fuzz.raise", retry=_ONCE)
def raise_it(params: RaiseParams) -> None:
    error = RAISED[params.what]()
    raise error


@task("tests.fuzz.end_process", retry=_ONCE)
def end_process(params: EndParams) -> None:
    match params.how:
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "fault":
            ctypes.string_at(0)


@task("tests.fuzz.speak", retry=_ONCE)
def speak(context: TaskContext) -> None:
    """An ordinary task, for which the others may not have spoilt its process."""
    print(SPOKEN.format(context.task_id))
