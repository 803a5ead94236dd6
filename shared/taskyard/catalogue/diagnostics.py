"""Task types for drills and benchmarks, known only where TASKYARD_DIAGNOSTICS is set."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, WithJsonSchema

from ..domain.retry import RetryPolicy
from .types import P, Params, R, Result, TaskType
from .words import Words

# Drills wait for their retries, so these come soon.
_QUICK = RetryPolicy(
    retries=5,
    first_delay=timedelta(milliseconds=200),
    max_delay=timedelta(seconds=2),
    jitter=False,
    delays=(),
)
MAX_SECONDS_IN_C = 120


class EchoParams(Params):
    value: JsonValue


class EchoResult(Result):
    value: JsonValue


class SleepParams(Params):
    seconds: Annotated[float, Field(ge=0, le=86_400)]
    in_c: bool = Field(
        default=False,
        description=f"Sleep in a C function that holds the GIL; {MAX_SECONDS_IN_C} s at most.",
    )


class SleepResult(Result):
    slept_seconds: float


class FailParams(Params):
    times: Annotated[int, Field(ge=0, le=1_000)] = Field(default=1, description="Attempts that fail.")
    kind: Literal["transient", "permanent"] = "transient"


class AttemptResult(Result):
    attempt: int = Field(description="The attempt that came through.")


def _signal_name(value: Any) -> Any:
    """9, 9.0 and `KILL` mean SIGKILL."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value in set(signal.Signals):
        return signal.Signals(int(value)).name
    if isinstance(value, str) and not value.startswith("SIG"):
        return f"SIG{value}"
    return value


_SIGNALS = ("SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTERM")
SignalName = Annotated[
    Literal["SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTERM"],
    BeforeValidator(_signal_name),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": [*_SIGNALS, *(name.removeprefix("SIG") for name in _SIGNALS)]},
                {"type": "integer", "enum": [int(signal.Signals[name]) for name in _SIGNALS]},
            ],
            "x-message": f"Must be the name or the number of a signal: {', '.join(_SIGNALS)}.",
        }
    ),
]


class CrashParams(Params):
    signal: SignalName = "SIGKILL"
    times: Annotated[int, Field(ge=0, le=1_000)] = Field(default=1, description="Attempts that crash.")


class AllocateParams(Params):
    megabytes: Annotated[int, Field(ge=0, le=1_048_576)]
    hold_seconds: Annotated[float, Field(ge=0, le=600)] = 0.0


class AllocateResult(Result):
    megabytes: int


FAIL_ERRORS: dict[str, Words] = {
    "diagnostic_transient": {
        "en": "This drill fails on purpose; a later attempt will succeed.",
        "de": "Diese Übung schlägt absichtlich fehl; ein späterer Versuch wird gelingen.",
        "fr": "Cet exercice échoue exprès ; un essai ultérieur réussira.",
        "hu": "Ez a gyakorlat szándékosan sikertelen; egy későbbi próbálkozás sikerülni fog.",
    },
    "diagnostic_permanent": {
        "en": "This drill fails on purpose, and for good.",
        "de": "Diese Übung schlägt absichtlich fehl, und zwar endgültig.",
        "fr": "Cet exercice échoue exprès, et pour de bon.",
        "hu": "Ez a gyakorlat szándékosan és véglegesen sikertelen.",
    },
}


def _drill(
    name: str, description: str, params: type[P], result: type[R], errors: Mapping[str, Words] = MappingProxyType({})
) -> TaskType[P, R]:
    return TaskType(
        name=f"diagnostics.{name}",
        description=description,
        params=params,
        result=result,
        retry=_QUICK,
        diagnostic=True,
        errors=errors,
    )


ECHO = _drill("echo", "Returns its value.", EchoParams, EchoResult)
SLEEP = _drill("sleep", "Sleeps.", SleepParams, SleepResult)
FAIL = _drill(
    "fail",
    "Fails so many attempts, then succeeds; a permanent failure is not tried again.",
    FailParams,
    AttemptResult,
    FAIL_ERRORS,
)
CRASH = _drill(
    "crash",
    "Kills its own process with a signal in so many attempts, then succeeds.",
    CrashParams,
    AttemptResult,
)
ALLOCATE = _drill(
    "allocate",
    "Takes that much memory, writes to all of it, and gives it back.",
    AllocateParams,
    AllocateResult,
)
