"""What the drills take and return."""

from __future__ import annotations

import signal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, WithJsonSchema

from taskyard import Params, Result

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
