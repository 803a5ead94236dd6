"""Whatever a task returns is stored as it is, or refused with its place."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import pytest
from pydantic import BaseModel, computed_field, model_serializer

from taskyard import task
from taskyard.catalogue.types import Params, Result, TaskType, type_of
from taskyard.domain.tasks import Failed, FailureKind, Succeeded
from taskyard.lifecycle.batch import check_storable
from taskyard.lifecycle.finish import public_fault
from taskyard.running import outcomes
from taskyard.running.result import MAX_RESULT_BYTES
from taskyard.running.speech import strike_out
from tests.unit.running.test_outcomes import cycle


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


class Odd(Enum):
    NUMBER = math.nan
    KEYS = {1: "a"}  # noqa: RUF012


class Loose(BaseModel):
    number: float = 0.0
    by_number: dict[int, str] = {}
    when: dict[UUID, date] = {}
    value: Any = None


def of_loose(**given: Any) -> Any:
    loose = TaskType(name="a.b", description="", params=Params, result=Loose)
    return outcomes.of_return(loose, Loose(**given))


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"value": [math.nan]}, "/value/0"),
        ({"value": {"a": (1, math.inf)}}, "/value/a/1"),
        ({"number": -math.inf}, "/number"),
        ({"value": {"a": {math.nan}}}, "/value/a"),
        ({"value": {(1, frozenset([math.inf]))}}, "/value/1"),
        ({"value": deque([math.nan])}, "/value/0"),
        ({"value": [Odd.NUMBER]}, "/value/0"),
        ({"value": deque([{1: "a"}])}, "/value/0"),
        ({"value": Odd.KEYS}, "/value"),
        ({"value": {1: "a"}}, "/value"),
        ({"value": {1: "a", "1": "b"}}, "/value"),
        ({"value": [{None: 1}]}, "/value/0"),
        ({"value": {"deep": {True: 1}}}, "/value/deep"),
        ({"by_number": {1: "a"}, "value": {1: "a"}}, "/value"),
        ({"value": 2**64}, "/value"),
        ({"value": "\x00"}, "/value"),
    ],
)
def test_a_result_that_json_would_change_is_refused_with_its_place(given: dict[str, Any], place: str) -> None:
    outcome = of_loose(**given)
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "result_invalid"
    assert f" At {place}: " in outcome.fault.message


def test_a_result_has_the_form_that_its_declared_types_have_in_json() -> None:
    key = UUID(int=7)
    given: dict[str, Any] = {"by_number": {1: "a"}, "when": {key: date(2030, 1, 2)}, "value": {"a": (1, {2})}}
    stored = {"number": 0.0, "by_number": {"1": "a"}, "when": {str(key): "2030-01-02"}, "value": {"a": [1, [2]]}}
    assert of_loose(**given) == Succeeded(stored)
    assert of_loose(value=[deque([1]), {(1, 2)}]).result["value"] == [[1], [[1, 2]]]


def test_a_task_that_returns_nothing_where_a_result_is_declared_is_told_so() -> None:
    """By what its author has declared, not by a class that was made around it."""

    @task("tests.listing")
    def listing() -> dict[str, list[int]]: ...  # type: ignore[empty-body]

    listing_type = type_of(listing)
    assert listing_type is not None
    for task_type, declared in ((TYPE, "Answer"), (listing_type, "dict[str, list[int]]")):
        outcome = outcomes.of_return(task_type, None)
        assert isinstance(outcome, Failed)
        assert outcome.fault.message.endswith(f"it returned None, and declares {declared}")


def test_secrets_are_struck_out_of_results_and_of_what_is_wrong_with_them() -> None:
    redact = strike_out(["hunter2", "1234", "7"])
    value = {"a hunter2": ["x hunter2", 1234, 12345, 7, True], "b": None}
    assert outcomes.of_return(TYPE, Answer(value=value), redact=redact) == Succeeded(
        {"value": {"a ***": ["x ***", "***", 12345, 7, True], "b": None}, "number": 0.0}
    )
    for wrong in ({"hunter2": 1}, Answer(value={"hunter2": math.nan})):
        outcome = outcomes.of_return(TYPE, wrong, redact=redact)
        assert isinstance(outcome, Failed)
        assert "hunter2" not in str(public_fault(outcome.fault))
        assert "***" in outcome.fault.message


def test_a_result_of_more_than_256_kib_is_refused_and_one_of_just_that_is_not() -> None:
    frame = len(orjson.dumps({"value": "", "number": 0.0}))
    fits = Answer(value="x" * (MAX_RESULT_BYTES - frame))
    assert isinstance(outcomes.of_return(TYPE, fits), Succeeded)
    outcome = outcomes.of_return(TYPE, Answer(value=fits.value + "x"))
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "result_too_large"


def doubled(levels: int) -> Any:
    value: Any = [1]
    for _ in range(levels):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(itertools.count, id="no end"),
        pytest.param(lambda: {"a": [itertools.repeat("x")]}, id="no end, inside"),
        pytest.param(lambda: doubled(28), id="the same list 2**28 times"),
        pytest.param(lambda: [itertools.cycle([[1]])], id="no end of lists"),
        pytest.param(lambda: {itertools.repeat(1)}, id="no end, in a set"),
        pytest.param(lambda: deque([Frozen(itertools.repeat(1))]), id="no end, in a dataclass"),
    ],
)
def test_a_result_without_an_end_is_refused_before_it_takes_memory(value: Callable[[], Any]) -> None:
    tracemalloc.start()
    try:
        outcome = outcomes.of_return(TYPE, Answer(value=value()))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "result_too_large"
    assert most < 64 * 1024**2


def test_an_iterator_in_a_result_is_a_list_and_held_to_the_same_rules() -> None:
    value = {"a": (n for n in range(3)), "b": (map(str, [1]), [zip("a", "b", strict=True)])}
    stored = {"value": {"a": [0, 1, 2], "b": [["1"], [[["a", "b"]]]]}, "number": 0.0}
    assert outcomes.of_return(TYPE, Answer(value=value)) == Succeeded(stored)


@dataclass(frozen=True)
class Frozen:
    field: Any


class Pair(NamedTuple):
    first: Any
    second: Any


class Computing(BaseModel):
    value: Any = None

    @computed_field
    def made(self) -> Any:
        return iter([self.value])


@pytest.mark.parametrize("odd", [math.nan, {1: "a"}], ids=["NaN", "key"])
@pytest.mark.parametrize(
    ("hold", "place"),
    [
        pytest.param(lambda inner: inner, "", id="alone"),
        pytest.param(lambda inner: {inner}, "/0", id="set"),
        pytest.param(lambda inner: frozenset([inner]), "/0", id="frozen set"),
        pytest.param(lambda inner: deque([inner]), "/0", id="deque"),
        pytest.param(lambda inner: OrderedDict(a=inner), "/a", id="ordered dict"),
        pytest.param(lambda inner: Pair(1, inner), "/1", id="named tuple"),
        pytest.param(Frozen, "/field", id="dataclass"),
        pytest.param(lambda inner: [Frozen([Loose(value={inner})])], "/0/field/0/value/0", id="model in a dataclass"),
        pytest.param(lambda inner: iter([iter([inner])]), "/0/0", id="iterators"),
    ],
)
def test_an_iterator_anywhere_in_a_result_is_held_to_the_same_rules(
    hold: Callable[[Any], Any], place: str, odd: Any
) -> None:
    outcome = of_loose(value=hold(inner for inner in [odd]))
    assert isinstance(outcome, Failed), outcome
    assert f" At /value{place}/0: " in outcome.fault.message
    fits = of_loose(value=hold(inner for inner in ["fits"]))
    assert isinstance(fits, Succeeded)
    assert "fits" in str(fits.result)


@pytest.mark.parametrize("odd", [math.nan, {1: "a"}], ids=["NaN", "key"])
def test_an_iterator_that_a_model_computes_is_held_to_the_same_rules(odd: Any) -> None:
    outcome = of_loose(value=Computing(value=[odd]))
    assert isinstance(outcome, Failed)
    computing = TaskType(name="a.b", description="", params=Params, result=Computing)
    outcome = outcomes.of_return(computing, Computing(value=odd))
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "result_invalid"


def test_a_place_in_a_result_is_a_json_pointer() -> None:
    outcome = of_loose(value={"a/b~c": [math.nan]})
    assert isinstance(outcome, Failed)
    assert " At /value/a~1b~0c/0: " in outcome.fault.message
