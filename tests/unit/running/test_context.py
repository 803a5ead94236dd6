"""TaskContext: what a task says is handed over at once, within bounds."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

import pytest

from taskyard.catalogue.types import type_of
from taskyard.lifecycle.batch import check_storable
from taskyard.running.child import Child
from taskyard.running.context import MAX_LINE, MAX_LOG_BYTES, MAX_LOG_LINES, MAX_MESSAGE, TaskContext
from taskyard_kits.diagnostics.tasks import echo

ECHO: Any = type_of(echo)


class Sink:
    def __init__(self) -> None:
        self.progresses: list[tuple[float, float | None, str]] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []

    def progress(self, task_id: UUID, claim: UUID, current: float, total: float | None, message: str) -> None:
        self.progresses.append((current, total, message))

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        self.notes.append((kind, data))

    @property
    def lines(self) -> list[str]:
        return [data["message"] for _, data in self.notes]


@pytest.fixture
def sink() -> Sink:
    return Sink()


def context_of(sink: Sink, **more: Any) -> TaskContext:
    nothing: Any = None
    parts: dict[str, Any] = {"storage": nothing, "sink": sink, "submitter": nothing, "database": nothing, **more}
    return TaskContext(uuid4(), uuid4(), "a.b", 1, None, **parts)


def test_every_progress_is_handed_over_and_each_change_of_its_message_is_a_stage(sink: Sink) -> None:
    context = context_of(sink)
    for n in range(6):
        context.progress(n, 6, "reading" if n < 3 else "writing")
    context.progress(6)
    assert [current for current, _, _ in sink.progresses] == [0, 1, 2, 3, 4, 5, 6]
    assert [(kind, data["message"], data["current"]) for kind, data in sink.notes] == [
        ("stage", "reading", 0),
        ("stage", "writing", 3),
    ]


def test_a_hundred_thousand_reports_of_progress_cost_less_than_two_seconds_and_no_line(sink: Sink) -> None:
    context = context_of(sink)
    began = time.thread_time()
    for n in range(100_000):
        context.progress(n, 100_000)
    assert time.thread_time() - began < 2
    assert sink.notes == []


def test_lines_are_kept_up_to_a_thousand_and_then_one_says_so(sink: Sink) -> None:
    context = context_of(sink)
    for n in range(10_000):
        context.log(f"line {n}")
    assert len(sink.notes) == MAX_LOG_LINES + 1
    assert sink.lines[:MAX_LOG_LINES] == [f"line {n}" for n in range(MAX_LOG_LINES)]
    assert sink.lines[-1] == "further lines of this attempt are not kept"


def test_lines_are_kept_up_to_256_kib(sink: Sink) -> None:
    context = context_of(sink)
    for _ in range(100):
        context.log("x" * 10_000)
    assert sink.lines[-1] == "further lines of this attempt are not kept"
    assert sum(map(len, sink.lines)) <= MAX_LOG_BYTES + 100


def test_one_huge_line_is_cut_with_a_mark_and_leaves_the_others(sink: Sink) -> None:
    context = context_of(sink)
    context.log("x" * 3_000_000)
    context.log("small")
    huge, small = sink.lines
    assert huge == "x" * MAX_LINE + "… [cut: the line has 3,000,000 characters]"
    assert small == "small"


def test_a_huge_progress_message_is_cut(sink: Sink) -> None:
    context_of(sink).progress(1, 2, "x" * 1_000_000)
    assert sink.progresses[0][2] == "x" * MAX_MESSAGE


def test_secrets_are_struck_out_of_lines_and_messages(sink: Sink) -> None:
    context = context_of(sink, redact=lambda text: text.replace("hunter2", "***"))
    context.log("password hunter2")
    context.progress(1, 2, "trying hunter2")
    assert sink.lines == ["password ***", "trying ***"]
    assert sink.progresses[0][2] == "trying ***"


class Hostile:
    """Whatever is asked of it fails."""

    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __float__ = __iter__ = __bool__ = __str__


class HostileText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(2**64, id="beyond 64 bits"),
        pytest.param(-(2**53) - 1, id="just beyond"),
        pytest.param(10**400, id="beyond a float"),
        pytest.param(10**5000, id="beyond its own text"),
        pytest.param(1e300, id="a float that is too large"),
        pytest.param(math.nan, id="NaN"),
        pytest.param(-math.inf, id="infinite"),
        pytest.param(Decimal("NaN"), id="a decimal NaN"),
        pytest.param(Decimal("sNaN"), id="a signalling one"),
        pytest.param(Fraction(10**400), id="a fraction"),
        pytest.param("half", id="text"),
        pytest.param("5", id="a number as text"),
        pytest.param(True, id="a truth value"),
        pytest.param(1j, id="a complex number"),
        pytest.param(Hostile(), id="hostile"),
    ],
)
@pytest.mark.parametrize("name", ["current", "total"])
def test_a_progress_that_cannot_be_shown_is_refused_at_once_with_its_name(sink: Sink, name: str, value: Any) -> None:
    given = {"current": 1, "total": 2, name: value}
    with pytest.raises((TypeError, ValueError)) as refused:
        context_of(sink).progress(**given)
    assert name in str(refused.value) or "signaling" in str(refused.value)
    assert not sink.progresses
    assert not sink.notes


@pytest.mark.parametrize("value", [0, -7, 2**53, -(2**53), 0.1, -1e-300, Decimal("2.5"), Fraction(1, 4)])
def test_every_other_progress_is_handed_over_as_it_is(sink: Sink, value: Any) -> None:
    context_of(sink).progress(value, value, "here")
    ((current, total, _),) = sink.progresses
    assert current == total == value
    assert {type(current), type(sink.notes[0][1]["total"])} <= {int, float}, "nothing of the task's own"


@pytest.mark.parametrize("said", [Hostile(), HostileText("x"), b"\xff", 5, None, "a\x00b\ud800", [[]]])
def test_whatever_is_said_is_plain_text_when_it_is_handed_over(sink: Sink, said: Any) -> None:
    """The writer's thread would run its code, again and again."""
    context = context_of(sink)
    context.log(said, level=said)
    context.progress(1, 2, said)
    for kind, data in sink.notes:
        texts = [data["message"], *([data["level"]] if kind == "log" else [])]
        assert {type(text) for text in texts} == {str}
        check_storable(data)
    assert len(sink.notes) == 2


@pytest.mark.parametrize(
    "given",
    [
        {"delay": -1},
        {"delay": math.nan},
        {"delay": timedelta.max},
        {"delay": "soon"},
        {"tags": "text"},
        {"tags": [5]},
        {"tags": ["x"] * 21},
        {"tags": ["x" * 65]},
        {"tags": ["a\x00"]},
        {"tags": 5},
        {"queue": 5},
        {"queue": "\ud800"},
    ],
)
def test_a_child_that_no_task_can_be_is_refused_by_name(sink: Sink, given: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(given))):
        context_of(sink).submit(echo, {"value": 1}, **given)


def test_the_delay_of_a_child_is_a_timedelta_or_seconds() -> None:
    assert Child(ECHO, {}, delay=90).delay_seconds == Child(ECHO, {}, delay=timedelta(minutes=1.5)).delay_seconds == 90


def test_children_are_submitted_with_what_was_asked_for(sink: Sink) -> None:
    asked: list[Child] = []

    def submitter(parent: TaskContext, children: Any) -> list[UUID]:
        asked.extend(children)
        return [UUID(int=n) for n in range(len(children))]

    context = context_of(sink, submitter=submitter)
    delay = timedelta(seconds=5)
    assert context.submit(echo, {"value": 1}, queue="low_priority", delay=delay, tags=["x"]) == UUID(int=0)
    assert asked == [Child(ECHO, {"value": 1}, "low_priority", delay, ["x"])]
    assert context.submit_many([]) == []


def test_a_child_is_named_by_its_function_its_type_or_a_text(sink: Sink) -> None:
    asked: list[Child] = []

    def submitter(parent: TaskContext, children: Any) -> list[UUID]:
        asked.extend(children)
        return [UUID(int=0)]

    context = context_of(sink, submitter=submitter)
    for task in (echo, ECHO, "diagnostics.echo"):
        context.submit(task, {"value": 1})
    assert [child.name for child in asked] == ["diagnostics.echo"] * 3
    with pytest.raises(TypeError, match="decorate it with @task"):
        context.submit(lambda: None, {})


def test_the_seconds_left_count_down_to_the_soft_limit(sink: Sink) -> None:
    assert context_of(sink).seconds_left == math.inf
    assert 9 < context_of(sink, soft_deadline=time.monotonic() + 10).seconds_left <= 10
