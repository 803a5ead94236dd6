"""Whatever a task returns or raises becomes an outcome that can be stored."""

from __future__ import annotations

import errno
import itertools
import json
import math
import tracemalloc
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import pytest
from pydantic import BaseModel, computed_field, model_serializer

from taskyard import task
from taskyard.catalogue.types import Params, Result, TaskType, type_of
from taskyard.catalogue.words import Vocabulary
from taskyard.domain.errors import Retry, SoftTimeLimitExceeded, TaskCancelled, TaskError
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Cancelled, Failed, FailureKind, RetryIn, Succeeded
from taskyard.lifecycle.batch import check_storable
from taskyard.lifecycle.finish import public_fault
from taskyard.running import outcomes
from taskyard.running.result import MAX_RESULT_BYTES
from taskyard.running.speech import strike_out


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


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise KeyError("boom")


def wrapped(cause: BaseException) -> BaseException:
    """As libraries raise it."""
    try:
        try:
            raise cause
        except type(cause) as e:
            raise ConnectionError("the server does not answer") from e
    except ConnectionError as e:
        return e


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.EMFILE, "words of another language"), "out_of_descriptors"),
        (wrapped(OSError(errno.EMFILE, "…")), "out_of_descriptors"),
        (ImportError("libc.so: cannot open shared object file: Too many open files"), "out_of_descriptors"),
        (RuntimeError("can't start new thread"), "out_of_threads"),
        (wrapped(RuntimeError("can't start new thread")), "out_of_threads"),
        (wrapped(Unspeakable()), "task_exception"),
        (OSError(errno.ENOENT, "No such file"), "task_exception"),
        (TaskError("own_code", "Too many open files"), "own_code"),
    ],
)
def test_an_error_for_want_of_descriptors_or_threads_says_so_whatever_it_is_wrapped_in(
    error: BaseException, code: str
) -> None:
    fault = of_error(error).fault
    assert fault.code == code
    assert type(error).__name__ == fault.type
    if code.startswith("out_of"):
        assert str(error) in fault.message


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
    redact = strike_out(["hunter2", "", "hunter2-and-more"])
    fault = of_error(RuntimeError("login with hunter2-and-more, then hunter2"), redact=redact).fault
    assert fault.message == "login with ***, then ***"
    assert "hunter2" not in fault.traceback


def test_without_secrets_a_text_stays_what_it_is() -> None:
    assert strike_out([""])("as it is") == "as it is"


def test_secrets_are_struck_out_a_line_at_a_time_and_inside_quotes() -> None:
    redact = strike_out(["-----BEGIN-----\nMIIEvQIBADAN\n}\n", 'tab\t"é"'])
    assert redact("first MIIEvQIBADAN then }") == "first *** then }"
    assert redact(json.dumps({"token": 'tab\t"é"'})) == '{"token": "***"}'
    assert redact(repr(['tab\t"é"'])) == "['***']"


WORDS = Vocabulary(
    {"too_dear": {"en": "{what} costs {amount}.", "de": "{what} kostet {amount}."}}, {"it": {"en": "It", "de": "Es"}}
)


def test_a_task_that_replaces_what_writes_json_spoils_no_striking_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "dumps", None)
    assert strike_out(['a"b'])('x "a\\"b" a"b') == 'x "***" ***'


def test_without_a_message_the_words_of_the_code_are_stored_in_english_with_their_values() -> None:
    fault = of_error(TaskError("too_dear", what={"phrase": "it"}, amount=12), vocabulary=WORDS).fault
    assert (fault.message, fault.values) == ("It costs 12.", {"what": {"phrase": "it"}, "amount": 12})
    assert of_error(TaskError("unheard_of"), vocabulary=WORDS).fault.message == "unheard_of"
    assert of_error(TaskError("unknown_queue", queue="'x'"), vocabulary=WORDS).fault.message == (
        "There is no queue 'x'. A queue exists once a worker serves it."
    )


def test_a_message_alone_has_no_other_words() -> None:
    assert of_error(TaskError("too_dear", "No."), vocabulary=WORDS).fault.values is None
    assert of_error(RuntimeError("no"), vocabulary=WORDS).fault.values is None
    assert of_error(Retry("later")).fault.values is None
    assert of_error(Retry()).fault.values == {}
    given = of_error(TaskError("too_dear", "No.", amount=1), vocabulary=WORDS).fault
    assert (given.message, given.values) == ("No.", {"amount": 1})


def test_secrets_are_struck_out_of_values_and_what_is_made_of_them() -> None:
    redact = strike_out(["hunter2", "4711"])
    error = TaskError(
        "too_dear", what="by hunter2", amount=4711, hunter2={"phrase": "hunter2"}, cut="x" * 497 + "hunter2"
    )
    fault = of_error(error, redact=redact, vocabulary=WORDS).fault
    assert fault.values == {"what": "by ***", "amount": "***", "***": {"phrase": "***"}, "cut": "x" * 497 + "***"}
    assert fault.message == "by *** costs ***."
    assert "hunter2" not in repr(fault)
    assert "4711" not in repr(fault)


class Shouting(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    ["a\x00b", "\ud800", "x" * 100_000, 2**70, -(2**200), math.nan, math.inf, object(), b"\xff", cycle(), [1], {"a": 1},
     {"phrase": 3}, {"phrase": "a\x00b" * 1000}, {"phrase": "x", "more": 1}, FailureKind.CRASH, Shouting("x"),
     timedelta(1), None, True, 3, 0.5],
)  # fmt: skip
def test_every_value_can_be_stored(value: Any) -> None:
    fault = of_error(TaskError("too_dear", what=value, amount=value), vocabulary=WORDS).fault
    check_storable(public_fault(fault))
    assert orjson.loads(orjson.dumps(fault.values)) == fault.values
    assert len(orjson.dumps(fault.values)) < 4_000
    assert len(fault.message) <= 2_000


def test_at_most_20_values_of_500_characters_are_kept() -> None:
    many: dict[str, Any] = {f"v{n}": "é" * 501 for n in range(50)}
    fault = of_error(TaskError("c", **many)).fault
    assert len(fault.values) == 20
    assert {len(value) for value in fault.values.values()} == {500}
    odd: dict[str, Any] = {"n\x00\ud800" * 100: 1}
    fault = of_error(TaskError("c", **odd)).fault
    assert all(len(name) <= 64 for name in fault.values)
    check_storable(public_fault(fault))


def test_a_time_limit_is_told_with_its_seconds() -> None:
    fault = of_error(SoftTimeLimitExceeded(), limit_seconds=540.0).fault
    assert fault.values == {"seconds": "540"}
    assert fault.message.startswith("It ran longer than its soft limit of 540 s.")


def test_a_place_in_a_result_is_a_json_pointer() -> None:
    outcome = of_loose(value={"a/b~c": [math.nan]})
    assert isinstance(outcome, Failed)
    assert " At /value/a~1b~0c/0: " in outcome.fault.message
