"""Whatever a task raises is retried by policy, and shown as far as its own code lets it be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from taskyard.domain.errors import Retry, TaskCancelled, TaskError
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Failed, RetryIn
from taskyard.lifecycle.batch import check_storable
from taskyard.lifecycle.finish import public_fault
from taskyard.running import outcomes
from taskyard.running.speech import strike_out
from tests.unit.running.test_outcomes import Unspeakable, cycle, of_error, wrapped


def hostile_errors() -> Iterator[BaseException]:
    """Errors whose own code fails, and those that are no errors as they should be."""

    class Broken:
        def __str__(self) -> str:
            raise SystemExit("broken")

        __repr__ = __str__

    class Lying(RuntimeError):
        __class__ = property(lambda self: TaskCancelled)

    class Closed(RuntimeError):
        def __getattribute__(self, name: str) -> Any:
            raise SystemExit(name)

    class Meta(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise SystemExit

    class Nameless(RuntimeError, metaclass=Meta): ...

    class Unmade(TaskError):
        def __init__(self) -> None:
            """As a class does that forgets its base."""

    class Unretried(Retry):
        def __init__(self) -> None:
            """The same."""

    class Computed(TaskError):
        retryable = property(lambda self: 1 / 0)

        def __init__(self) -> None: ...

    class Odd(str):
        __slots__ = ()

        def __str__(self) -> str:
            raise KeyError

        def replace(self, *_: Any) -> Any:
            return None

    class Group(ExceptionGroup[Exception]):
        def derive(self, excs: Any, /) -> Any:
            raise SystemExit

    odd: Any = (5, 6)
    yield TaskError(*odd)
    yield TaskError(Odd("a"), Odd("b"), **cast(Any, {Odd("c"): Odd("d")}))
    yield TaskError("c", n=10**5000, deep=deep_list(), cycle=cycle(), b=Broken(), phrase={"phrase": Odd("x")})
    yield from (Unspeakable(), RuntimeError(Broken()), Lying("x"), Closed(), Nameless(), Unmade(), Unretried())
    yield from (Computed(), RuntimeError(Odd("x")), wrapped(Unspeakable()), Group("g", [Unspeakable()]))
    yield ExceptionGroup("g" * 10_000, [ValueError(n) for n in range(1000)])
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    yield first
    noted = RuntimeError("n")
    noted.__notes__ = cast(Any, Broken())
    yield noted
    yield type("Ñ" * 10_000, (RuntimeError,), {})("x")


def deep_list() -> list[Any]:
    made: list[Any] = []
    for _ in range(100_000):
        made = [made]
    return made


# Of their own parameters pytest asks too much.
@pytest.mark.parametrize("number", range(len(list(hostile_errors()))))
def test_every_error_is_retried_by_policy_with_its_type_and_traceback_whatever_its_code_does(number: int) -> None:
    error = list(hostile_errors())[number]
    try:
        raise error
    except BaseException as e:  # noqa: BLE001 - some are not what they seem
        outcome = of_error(outcomes.root_of(e))
    assert isinstance(outcome, RetryIn)
    fault = outcome.fault
    check_storable(public_fault(fault))
    assert fault.type[:10] == type.__dict__["__name__"].__get__(type(error))[:10]
    assert __file__ in (fault.traceback or "")
    assert all(type(text) is str and text for text in (fault.code, fault.message, fault.type, fault.traceback))


class Own(BaseException):
    """A base class that no task should use."""


@pytest.mark.parametrize("error", [Own(), SystemExit("x"), BaseExceptionGroup("g", [Own()])])
def test_what_is_no_exception_is_retried_where_the_policy_names_it(error: BaseException) -> None:
    assert isinstance(of_error(error), Failed)
    named = outcomes.of_error(error, RetryPolicy(retry_on=(BaseException,)), failures=1, max_attempts=3)
    assert isinstance(named, RetryIn)


def test_what_a_task_error_is_given_is_shown_as_text() -> None:
    odd: Any = (5, 6)
    fault = of_error(TaskError(*odd)).fault
    assert (fault.code, fault.message) == ("5", "6")


def test_secrets_are_struck_out_of_codes_and_of_the_names_of_classes() -> None:
    redact = strike_out(["hunter2"])
    error = type("Errorhunter2", (TaskError,), {})("code_hunter2", "no", word="hunter2")
    fault = of_error(error, redact=redact).fault
    assert (fault.code, fault.type) == ("code_***", "Error***")
    assert "hunter2" not in str(public_fault(fault)) + (fault.traceback or "")
    assert outcomes.not_upgraded(error, 1, redact).fault.message.endswith("Error***: no")
