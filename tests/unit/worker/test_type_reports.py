"""What children report of their task types: checked by the supervisor, and answered."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from taskyard.catalogue.spec import TaskSpec, spec_of
from taskyard.catalogue.types import Catalogue, Params, Result, TaskType
from taskyard.domain.errors import HardTimeLimitExceeded, TimeLimitExceeded
from taskyard.domain.retry import GiveUp, RetryPolicy, RetryRule
from taskyard.settings import Settings
from taskyard_worker.child import report as report_module
from taskyard_worker.child.report import report
from taskyard_worker.control import MAX_LINE_BYTES, MAX_TYPES, Control
from taskyard_worker.supervisor.handle import Handle, Report
from taskyard_worker.supervisor.line import Line
from taskyard_worker.supervisor.registration import Registration
from taskyard_worker.supervisor.types import TypeReports, hard_limit_policy
from tests.support.specs import spec_named, spec_values


class Reports:
    """Reports that reach a supervisor without processes, and what it makes of them."""

    def __init__(self) -> None:
        self.registered = 0
        self.known: list[str] = []
        made_up: Any = self
        nothing: Any = None
        self.registration = Registration(nothing, Settings(), queues=["default"], announce=lambda: None)
        self.reports = TypeReports(self.registration, made_up, made_up)

    def register_types(self) -> None:
        self.registered += 1

    def know(self, types: Iterable[TaskSpec]) -> None:
        self.known += [spec.name for spec in types]

    def take(self, *messages: dict[str, Any]) -> Child:
        """Of a child that is ready then."""
        child = Child()
        for message in messages:
            self.reports.receive(child, message)  # type: ignore[arg-type]
        self.reports.register(child)  # type: ignore[arg-type]
        return child


class Child:
    """A child as its handle shows it."""

    def __init__(self) -> None:
        self.report = Report()
        self.types: dict[str, TaskSpec] = {}
        self.said: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.said.append(message)


def event(*specs: Any, last: bool = True, **more: Any) -> dict[str, Any]:
    return {"event": "types", "specs": list(specs), "last": last, **more}


@pytest.fixture
def reports() -> Reports:
    return Reports()


def test_what_a_child_reports_in_several_events_is_registered_once_it_is_ready(reports: Reports) -> None:
    child: Any = Child()
    reports.reports.receive(child, event(spec_values("a.one"), last=False))
    assert (child.types, child.said) == ({}, [])
    reports.reports.receive(child, event(spec_values("b.two")))
    assert sorted(child.types) == ["a.one", "b.two"]
    assert child.said == [{"do": "types", "refused": []}]
    assert (reports.registered, reports.registration.task_types, reports.known) == (0, [], []), "it may not come up"
    reports.reports.register(child)
    assert reports.registration.task_types == reports.known == ["a.one", "b.two"]
    assert reports.registered == 1


def test_a_child_that_reports_the_same_is_not_registered_again_and_one_with_other_content_is(reports: Reports) -> None:
    reports.take(event(spec_values("a.one")))
    reports.take(event(spec_values("a.one")))
    assert reports.registered == 1
    reports.take(event(spec_values("a.one", hard_timeout_seconds=700.0)))
    assert reports.registered == 2
    reports.take(event())
    assert (reports.registered, reports.registration.task_types) == (3, [])


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"not": value}
    return value


HOSTILE: dict[str, Any] = {
    "too large": spec_values("hostile", params={"type": "object", "description": "x" * 70_000}),
    "too deep": spec_values("hostile", params=deep(40)),
    "far too deep": spec_values("hostile", params=deep(500)),
    "a reference to another document": spec_values("hostile", params={"$ref": "http://127.0.0.1/x"}),
    "a template that reads attributes": spec_values("hostile", errors={"a": {"words": {"en": "{x.__class__}"}}}),
    "a version that is no number": spec_values("hostile", version="1"),
    "no queue": {"name": "hostile"},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_spec_is_left_out_with_one_line_however_many_children_report_it(reports: Reports, what: str) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            child = reports.take(event(spec_values("a.one"), HOSTILE[what]))
            assert child.said == [{"do": "types", "refused": ["hostile"]}]
            assert list(child.types) == ["a.one"]
    (line,) = (entry for entry in logs if entry["event"] == "task_type_refused")
    assert line["task_name"] == "hostile"
    assert line["reason"]
    assert reports.registration.task_types == ["a.one"]


@pytest.mark.parametrize("specs", [None, 7, "x", {"a": 1}, [None, 7, "x", [], {"name": 1}]])
def test_a_report_that_is_no_report_registers_nothing(reports: Reports, specs: Any) -> None:
    child = reports.take({"event": "types", "specs": specs, "refused": 3, "last": True})
    assert child.types == {}
    assert child.said[0]["do"] == "types"


def test_more_types_than_a_worker_may_have_are_left_out(reports: Reports) -> None:
    child = reports.take(event(*(spec_values(f"type.n{n}") for n in range(MAX_TYPES + 3))))
    assert len(child.types) == MAX_TYPES
    assert len(child.said[0]["refused"]) == 3


def test_what_a_child_refused_itself_is_told_by_the_supervisor(reports: Reports) -> None:
    with capture_logs() as logs:
        reports.take(event(spec_values("a.one"), refused={"b.two": "too large"}))
    assert [(entry["task_name"], entry["reason"]) for entry in logs] == [("b.two", "too large")]


def test_a_line_without_an_end_costs_the_child_its_life_and_the_supervisor_little_memory() -> None:
    ours, theirs = socket.socketpair()
    line = Line(ours, 0)
    kills: list[str] = []

    class Bounded(Handle):
        def kill(self, why: str) -> None:
            kills.append(why)

    nothing: Any = None
    handle = Bounded(0, nothing, line, nothing, 0.0, "", start_seconds=30)

    def send() -> None:
        with suppress(OSError):
            theirs.sendall(b"x" * (2 * MAX_LINE_BYTES))

    sender = threading.Thread(target=send)
    sender.start()
    while not kills:
        assert handle.receive() == []
        assert len(line._received) < 2 * MAX_LINE_BYTES
    ours.close()
    sender.join(10)
    theirs.close()


def test_a_line_that_is_nested_too_deeply_ends_no_supervisor() -> None:
    ours, theirs = socket.socketpair()
    nothing: Any = None
    handle = Handle(0, nothing, Line(ours, 0), nothing, 0.0, "", start_seconds=30)
    theirs.sendall(b"[" * 100_000 + b'\n{"event": "ready"}\n')
    assert handle.receive() == [{"event": "ready"}]
    theirs.close()
    ours.close()


# The child's end


class Nothing(Params):
    pass


class Output(Result):
    pass


class Answered:
    """A control line, and a supervisor that answers in a thread."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.control = Control(theirs.detach(), os.getppid())
        self.socket = ours
        self.heard: list[dict[str, Any]] = []

    def answer(self, *messages: dict[str, Any]) -> None:
        """Once the report is complete."""

        def run() -> None:
            with self.socket.makefile() as lines:
                for line in lines:
                    self.heard.append(json.loads(line))
                    if self.heard[-1].get("last"):
                        break
            for message in messages:
                self.socket.sendall(json.dumps(message).encode() + b"\n")

        threading.Thread(target=run, daemon=True).start()


@pytest.fixture
def line() -> Iterator[Answered]:
    made = Answered()
    yield made
    made.control._socket.close()
    made.socket.close()


def make_type(name: str, **changes: Any) -> TaskType[Any, Any]:
    return TaskType(**{"name": name, "description": "", "params": Nothing, "result": Output, **changes})


def test_a_child_claims_no_type_that_it_or_its_supervisor_refused(line: Answered) -> None:
    line.answer({"do": "types", "refused": ["c.three"]})
    types = [make_type("a.one"), make_type("b.two", description="x" * 20_000), make_type("c.three")]
    assert report(line.control, Catalogue(types)).names == ("a.one",)
    assert list(line.heard[-1]["refused"]) == ["b.two"]
    specs = [spec for message in line.heard for spec in message["specs"]]
    assert specs == [spec_of(types[0]).as_json(), spec_of(types[2]).as_json()]


def test_a_report_is_sent_in_events_that_the_supervisor_reads(line: Answered) -> None:
    line.answer({"do": "types", "refused": []})
    types = [make_type(f"type.n{n}", description="ü" * 9_000) for n in range(40)]
    assert report(line.control, Catalogue(types)).names == tuple(sorted(t.name for t in types))
    assert len(line.heard) > 10
    assert max(len(json.dumps(message)) for message in line.heard) < MAX_LINE_BYTES


def test_what_the_supervisor_says_before_its_answer_is_not_lost(line: Answered) -> None:
    line.answer({"do": "drain"}, {"do": "types", "refused": []})
    report(line.control, Catalogue([make_type("a.one")]))
    assert line.control.receive(1.0) == {"do": "drain"}
    assert line.control.receive(0.01) is None


def test_a_child_without_an_answer_goes_on_with_what_it_did_not_refuse_itself(
    line: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its supervisor is of a release that knows no reports.
    monkeypatch.setattr(report_module, "_ANSWER_SECONDS", 0.2)
    types = [make_type("a.one"), make_type("b.two", description="x" * 20_000)]
    assert report(line.control, Catalogue(types)).names == ("a.one",)


# What follows a hard limit


def test_the_policy_after_a_hard_limit_is_the_declared_one() -> None:
    policy = RetryPolicy(
        retries=5,
        first_delay=timedelta(seconds=7),
        max_delay=timedelta(seconds=100),
        factor=3.0,
        jitter=False,
        rules=(
            RetryRule("connection", (ConnectionError,), first_delay=timedelta(seconds=1)),
            RetryRule("time_limit", (TimeLimitExceeded,), first_delay=timedelta(seconds=11)),
        ),
    )
    made = hard_limit_policy(spec_of(make_type("a.one", retry=policy)).retry)
    error = HardTimeLimitExceeded()
    for failures in range(1, 8):
        assert made.decide(error, failures=failures) == policy.decide(error, failures=failures)


def test_a_type_that_gives_up_on_time_limits_is_not_tried_again_after_a_hard_one() -> None:
    spec = spec_of(make_type("a.one", retry=RetryPolicy(give_up_on=(HardTimeLimitExceeded,))))
    assert hard_limit_policy(spec.retry).decide(HardTimeLimitExceeded(), failures=1) == GiveUp("not_retryable")
    assert not spec_named().retry.rules
