"""Whatever a task returns or raises becomes an outcome that can be stored."""

from __future__ import annotations

import errno
import json
import math
from datetime import timedelta
from typing import Any

import orjson
import pytest

from taskyard.catalogue.words import Vocabulary
from taskyard.domain.errors import Retry, SoftTimeLimitExceeded, TaskCancelled, TaskError
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Cancelled, Failed, FailureKind, RetryIn
from taskyard.lifecycle.batch import check_storable
from taskyard.lifecycle.finish import public_fault
from taskyard.running import outcomes
from taskyard.running.speech import strike_out

POLICY = RetryPolicy(retries=2, first_delay=timedelta(seconds=1), jitter=False)


def of_error(error: BaseException, **more: Any) -> Any:
    values: dict[str, Any] = {"failures": 1, "max_attempts": 3, "redact": str}
    return outcomes.of_error(error, POLICY, **{**values, **more})


def cycle() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


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
