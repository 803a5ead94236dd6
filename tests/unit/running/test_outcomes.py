"""Whatever a task returns or raises becomes an outcome that can be stored."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, model_serializer

from taskyard.catalogue.types import Params, Result, TaskType
from taskyard.domain.errors import Retry, TaskCancelled, TaskError
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Cancelled, Failed, FailureKind, RetryIn, Succeeded
from taskyard.lifecycle.batch import check_storable
from taskyard.lifecycle.finish import public_fault
from taskyard.running import outcomes


class Answer(Result):
    value: Any = None
    number: float = 0.0


class Other(BaseModel):
    surprise: int = 1


class Explosive(Result):
    @model_serializer
    def explode(self) -> dict[str, Any]:
        raise KeyError("boom")


TYPE = TaskType(name="a.b", description="", params=Params, result=Answer)
POLICY = RetryPolicy(retries=2, first_delay=timedelta(seconds=1), jitter=False)


def of_error(error: BaseException, **more: Any) -> Any:
    values: dict[str, Any] = {"failures": 1, "max_attempts": 3, "redact": str}
    return outcomes.of_error(error, POLICY, **{**values, **more})


def cycle() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize("returned", [Answer(value={"a": [1, None, "ü"]}), {"value": {"a": [1, None, "ü"]}}])
def test_a_result_may_be_the_model_or_what_fits_it(returned: Any) -> None:
    assert outcomes.of_return(TYPE, returned) == Succeeded({"value": {"a": [1, None, "ü"]}, "number": 0.0})


@pytest.mark.parametrize(
    "returned",
    [
        pytest.param(None, id="nothing"),
        pytest.param("text", id="text"),
        pytest.param(object(), id="object"),
        pytest.param({"other": 1}, id="unknown name"),
        pytest.param(Other(), id="another type's model"),
        pytest.param(Answer(value=object()), id="not serialisable"),
        pytest.param(Answer(value="a\x00b"), id="NUL"),
        pytest.param(Answer(value={"a\x00b": 1}), id="NUL in a key"),
        pytest.param(Answer(value="\ud800"), id="lone surrogate"),
        pytest.param({"number": math.nan}, id="NaN"),
        pytest.param({"number": math.inf}, id="infinite"),
        pytest.param(Answer(value=2**70), id="too many bits"),
        pytest.param(Answer(value=b"\xff"), id="bytes"),
        pytest.param(Answer(value=cycle()), id="contains itself"),
        pytest.param(Answer(value=orjson.loads("[" * 40 + "]" * 40)), id="too deep"),
    ],
)
def test_a_result_that_does_not_fit_or_cannot_be_stored_fails_for_good(returned: Any) -> None:
    outcome = outcomes.of_return(TYPE, returned)
    assert isinstance(outcome, Failed)
    assert (outcome.fault.code, outcome.fault.kind) == ("result_invalid", FailureKind.INVALID)
    assert not outcome.fault.retryable
    check_storable(public_fault(outcome.fault))


def test_a_model_whose_own_code_fails_is_a_wrong_result_and_not_tried_again() -> None:
    explosive = TaskType(name="a.b", description="", params=Params, result=Explosive)
    outcome = outcomes.of_return(explosive, Explosive())
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "result_invalid"


def test_a_number_that_json_does_not_know_is_null_where_anything_may_stand() -> None:
    outcome = outcomes.of_return(TYPE, Answer(value=[math.nan, {"a": math.inf}]))
    assert outcome == Succeeded({"value": [None, {"a": None}], "number": 0.0})


def test_a_result_of_more_than_256_kib_is_refused_and_one_of_just_that_is_not() -> None:
    frame = len(orjson.dumps({"value": "", "number": 0.0}))
    fits = Answer(value="x" * (outcomes.MAX_RESULT_BYTES - frame))
    assert isinstance(outcomes.of_return(TYPE, fits), Succeeded)
    outcome = outcomes.of_return(TYPE, Answer(value=fits.value + "x"))
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "result_too_large"


def test_an_error_is_tried_again_until_its_attempts_are_used_up() -> None:
    first = of_error(RuntimeError("no"), failures=1)
    assert isinstance(first, RetryIn)
    assert (first.delay, first.fault.code, first.fault.message) == (timedelta(seconds=1), "task_exception", "no")
    assert "RuntimeError: no" in (first.fault.traceback or "")
    last = of_error(RuntimeError("no"), failures=3)
    assert isinstance(last, Failed)
    assert last.fault.retryable


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), GeneratorExit()])
def test_system_exit_ends_the_task_only_and_is_not_tried_again(error: BaseException) -> None:
    outcome = of_error(error)
    assert isinstance(outcome, Failed)
    assert outcome.fault.type == type(error).__name__


def test_a_task_may_ask_for_another_attempt_at_its_own_time() -> None:
    outcome = of_error(Retry("later", after=timedelta(minutes=7)))
    assert isinstance(outcome, RetryIn)
    assert (outcome.delay, outcome.fault.code) == (timedelta(minutes=7), "retry_requested")


def test_a_task_s_own_error_keeps_its_code_and_its_word_on_retries() -> None:
    outcome = of_error(TaskError("smtp_refused", "No.", retryable=False))
    assert isinstance(outcome, Failed)
    assert (outcome.fault.code, outcome.fault.message) == ("smtp_refused", "No.")


def test_a_cancelled_task_is_cancelled() -> None:
    assert of_error(TaskCancelled()) == Cancelled()


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "x" * 100_000])
def test_every_error_message_can_be_stored(text: str) -> None:
    for error in (RuntimeError(text), TaskError(text, text)):
        fault = of_error(error).fault
        check_storable(public_fault(fault))
        check_storable(fault.traceback)
        assert len(fault.code) <= 100
        assert len(fault.message) <= 2_000
        assert len(fault.traceback) <= 32_000


def test_secrets_are_struck_out_of_messages_and_tracebacks_the_longest_first() -> None:
    redact = outcomes.strike_out(["hunter2", "", "hunter2-and-more"])
    fault = of_error(RuntimeError("login with hunter2-and-more, then hunter2"), redact=redact).fault
    assert fault.message == "login with ***, then ***"
    assert "hunter2" not in fault.traceback


def test_without_secrets_a_text_stays_what_it_is() -> None:
    assert outcomes.strike_out([""])("as it is") == "as it is"


def test_secrets_are_struck_out_a_line_at_a_time_and_inside_quotes() -> None:
    redact = outcomes.strike_out(["-----BEGIN-----\nMIIEvQIBADAN\n}\n", 'tab\t"é"'])
    assert redact("first MIIEvQIBADAN then }") == "first *** then }"
    assert redact(json.dumps({"token": 'tab\t"é"'})) == '{"token": "***"}'
    assert redact(repr(['tab\t"é"'])) == "['***']"
