"""Hooks around runs: they hear of every run in order, and change none, whatever they do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from taskyard.catalogue.secrets import Cipher, Secret
from taskyard.catalogue.types import Catalogue, Params, Result, TaskType
from taskyard.domain.errors import SoftTimeLimitExceeded, TaskCancelled, TaskError
from taskyard.domain.tasks import Cancelled, Failed, Fault, Outcome, RetryIn, Succeeded
from taskyard.running import hooks as hooks_module
from taskyard.running.attempt import Services
from taskyard.running.context import TaskContext
from taskyard.running.hooks import Hook, Hooks, Run
from taskyard.telemetry.metrics import Metrics
from taskyard_worker import slots
from taskyard_worker.child.event_loop import EventLoop
from taskyard_worker.child.runner import Runner
from taskyard_worker.child.skills import Skills
from taskyard_worker.child.slot import Slot
from taskyard_worker.child.writer import End
from tests.support.fleet import wait_for

from .making import claim_some, make_claim_table, make_watch

MOMENTS = ["before_run", "after_run", "on_retry", "on_failure"]


class Input(Params):
    value: int = 0
    token: Secret[str] | None = None


class Output(Result):
    value: int


TYPE = TaskType(name="tests.task", description="", params=Input, result=Output)
KEY = Fernet.generate_key().decode()


class Recorder(Hook):
    """Keeps what it hears, under its name, in a list that several can share."""

    def __init__(self, heard: list[Any] | None = None, name: str = "") -> None:
        self.heard: list[Any] = [] if heard is None else heard
        self.name = name

    def before_run(self, run: Run) -> None:
        self.heard.append((self.name + "before_run", run))

    def after_run(self, run: Run, outcome: Outcome) -> None:
        self.heard.append((self.name + "after_run", run, outcome))

    def on_retry(self, run: Run, fault: Fault, delay: timedelta) -> None:
        self.heard.append((self.name + "on_retry", run, fault, delay))

    def on_failure(self, run: Run, fault: Fault) -> None:
        self.heard.append((self.name + "on_failure", run, fault))

    @property
    def moments(self) -> list[str]:
        return [moment for moment, *_ in self.heard]


class Raising(Recorder):
    """Raises the error wherever it is called."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def before_run(self, run: Run) -> None:
        super().before_run(run)
        raise self._error

    def after_run(self, run: Run, outcome: Outcome) -> None:
        super().after_run(run, outcome)
        raise self._error

    def on_retry(self, run: Run, fault: Fault, delay: timedelta) -> None:
        super().on_retry(run, fault, delay)
        raise self._error

    def on_failure(self, run: Run, fault: Fault) -> None:
        super().on_failure(run, fault)
        raise self._error


class Harness:
    """A runner of one function with hooks."""

    def __init__(self, function: Callable[..., Any], *hooks: Hook, metrics: Metrics | None = None) -> None:
        nothing: Any = None
        self.ends: list[End] = []
        skills = Skills(Catalogue([replace(TYPE, function=function)]), Cipher([KEY]))
        self.claims = make_claim_table(4, async_types=skills.async_types)
        services = Services(nothing, nothing, nothing)
        self.runner = Runner(skills, services, self.claims, self, Hooks(hooks, metrics), EventLoop(), *make_watch())

    def end(self, end: End) -> None:
        self.ends.append(end)

    def progress(self, *_: object) -> None: ...

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None: ...

    def claim(self, **changes: Any) -> Slot:
        slot: Slot
        (slot,) = claim_some(self.claims, **{"name": TYPE.name, "params": {"value": 1}, **changes})
        return slot

    def run(self, **changes: Any) -> Outcome:
        self.runner.run(self.claim(**changes))
        wait_for(lambda: len(self.ends) == 1, 10, "the end", every=0.005)
        return self.ends[0].outcome


def succeeding(params: Input, context: TaskContext) -> Output:
    return Output(value=params.value)


async def succeeding_later(params: Input, context: TaskContext) -> Output:
    await asyncio.sleep(0)
    return Output(value=params.value)


def failing(params: Input, context: TaskContext) -> NoReturn:
    raise TaskError("too_dear", "It costs too much.", retryable=False)


async def failing_later(params: Input, context: TaskContext) -> NoReturn:
    await asyncio.sleep(0)
    raise TaskError("too_dear", "It costs too much.", retryable=False)


def retrying(params: Input, context: TaskContext) -> NoReturn:
    raise RuntimeError("try again")


async def retrying_later(params: Input, context: TaskContext) -> NoReturn:
    await asyncio.sleep(0)
    raise RuntimeError("try again")


def waiting(params: Input, context: TaskContext) -> Output:
    while True:
        time.sleep(0.005)


async def waiting_later(params: Input, context: TaskContext) -> Output:
    await asyncio.sleep(60)
    return Output(value=1)


def heard_of(recorder: Recorder, count: int) -> list[str]:
    """On the loop, the last moment comes after the end."""
    wait_for(lambda: len(recorder.heard) >= count, 10, f"{count} moments", every=0.005)
    return recorder.moments


@pytest.mark.parametrize("function", [succeeding, succeeding_later])
def test_hooks_hear_of_a_run_before_and_after_it_with_its_outcome(function: Callable[..., Any]) -> None:
    recorder = Recorder()
    assert Harness(function, recorder).run() == Succeeded({"value": 1})
    assert heard_of(recorder, 2) == ["before_run", "after_run"]
    (_, before), (_, after, outcome) = recorder.heard
    assert outcome == Succeeded({"value": 1})
    assert before.task_id == after.task_id
    assert before.seconds is None
    assert after.seconds >= 0


def test_hooks_nest_in_the_order_in_which_they_are_named() -> None:
    heard: list[Any] = []
    Harness(retrying, Recorder(heard, "a."), Recorder(heard, "b.")).run()
    assert [moment for moment, *_ in heard] == [
        *("a.before_run", "b.before_run"),
        *("b.on_retry", "a.on_retry", "b.after_run", "a.after_run"),
    ]


def test_a_hook_sees_what_the_run_is_and_no_secret() -> None:
    recorder = Recorder()
    sealed = {"value": 1, "token": Cipher([KEY]).seal("hunter2")}
    Harness(succeeding, recorder).run(
        params=sealed, attempt=2, max_attempts=5, request_id="r-1", tags=["a"], submitted_by="ci", version=1,
        queue="reports", traceparent=f"00-{'a1' * 16}-{'b2' * 8}-01",
    )  # fmt: skip
    run = recorder.heard[0][1]
    assert isinstance(run.task_id, UUID)
    assert (run.name, run.version, run.queue) == ("tests.task", 1, "reports")
    assert (run.attempt, run.max_attempts) == (2, 5)
    assert (run.request_id, run.trace_id, run.tags, run.submitted_by) == ("r-1", "a1" * 16, ("a",), "ci")
    assert run.params == {"value": 1, "token": "***"}
    with pytest.raises(AttributeError):
        run.attempt = 3


def test_nothing_that_a_hook_does_to_the_parameters_reaches_the_task() -> None:
    class Changing(Hook):
        def before_run(self, run: Run) -> None:
            run.params["value"] = 7

    assert Harness(succeeding, Changing()).run() == Succeeded({"value": 1})


@pytest.mark.parametrize("function", [retrying, retrying_later])
def test_on_retry_comes_with_the_fault_and_the_delay_while_attempts_are_left(function: Callable[..., Any]) -> None:
    recorder = Recorder()
    outcome = Harness(function, recorder).run(failures=2, attempt=3)
    assert isinstance(outcome, RetryIn)
    assert heard_of(recorder, 3) == ["before_run", "on_retry", "after_run"]
    assert recorder.heard[1][2:] == (outcome.fault, outcome.delay)


@pytest.mark.parametrize("function", [retrying, retrying_later])
def test_on_failure_comes_once_and_only_with_the_last_attempt(function: Callable[..., Any]) -> None:
    recorder = Recorder()
    for failures in range(4):
        Harness(function, recorder).run(failures=failures, attempt=failures + 1, max_attempts=4)
    assert heard_of(recorder, 12).count("on_failure") == 1
    assert recorder.moments.count("on_retry") == 3
    _, run, fault = next(heard for heard in recorder.heard if heard[0] == "on_failure")
    assert (run.attempt, fault.message) == (4, "try again")


def test_an_attempt_that_is_not_worth_a_retry_is_a_failure_at_once() -> None:
    recorder = Recorder()
    Harness(failing, recorder).run()
    assert recorder.moments == ["before_run", "on_failure", "after_run"]
    assert recorder.heard[1][2].code == "too_dear"


def test_parameters_that_no_longer_fit_are_a_failure_that_hooks_hear_of() -> None:
    recorder = Recorder()
    Harness(succeeding, recorder).run(params={"value": "many"})
    assert recorder.moments == ["before_run", "on_failure", "after_run"]


def test_a_claim_that_was_given_back_is_no_run() -> None:
    recorder = Recorder()
    harness = Harness(succeeding, recorder)
    slot = harness.claim()
    harness.claims.give_back()
    harness.runner.run(slot)
    assert recorder.heard == []


ERRORS = [RuntimeError("of the hook"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), TaskCancelled()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize(
    ("function", "kind", "moments"),
    [
        (succeeding, Succeeded, ["before_run", "after_run"]),
        (succeeding_later, Succeeded, ["before_run", "after_run"]),
        (retrying, RetryIn, ["before_run", "on_retry", "after_run"]),
        (retrying_later, RetryIn, ["before_run", "on_retry", "after_run"]),
        (failing, Failed, ["before_run", "on_failure", "after_run"]),
        (failing_later, Failed, ["before_run", "on_failure", "after_run"]),
    ],
)
def test_a_hook_that_raises_changes_no_outcome_and_keeps_no_other_hook_from_its_turn(
    error: BaseException, function: Callable[..., Any], kind: type, moments: list[str]
) -> None:
    raising, beside = Raising(error), Recorder()
    assert isinstance(Harness(function, raising, beside).run(), kind)
    assert heard_of(raising, len(moments)) == moments
    assert beside.moments == moments


@pytest.mark.parametrize("function", [waiting, waiting_later])
@pytest.mark.parametrize(("kind", "outcome"), [(SoftTimeLimitExceeded, RetryIn), (TaskCancelled, Cancelled)])
def test_a_hook_that_raises_changes_no_time_limit_and_no_cancellation(
    function: Callable[..., Any], kind: Any, outcome: type
) -> None:
    raising = Raising(RuntimeError("of the hook"))
    harness = Harness(function, raising)
    slot = harness.claim()
    thread = threading.Thread(target=harness.runner.run, args=[slot])
    thread.start()
    wait_for(lambda: slot.run is not None and slot.run.interrupt(kind), 10, "the interrupt", every=0.005)
    wait_for(lambda: len(harness.ends) == 1, 10, "the end", every=0.005)
    thread.join(10)
    assert isinstance(harness.ends[0].outcome, outcome)
    expected = ["before_run", "on_retry", "after_run"] if outcome is RetryIn else ["before_run", "after_run"]
    assert heard_of(raising, len(expected)) == expected


class Holding(Hook):
    """Stays in `moment` until it is released; `left` says whether it got to its end there."""

    def __init__(self, moment: str) -> None:
        self._moment = moment
        self.entered, self.release, self.left = threading.Event(), threading.Event(), threading.Event()

    def before_run(self, run: Run) -> None:
        self._hold("before_run")

    def after_run(self, run: Run, outcome: Outcome) -> None:
        self._hold("after_run")

    def _hold(self, moment: str) -> None:
        if moment == self._moment:
            self.entered.set()
            while not self.release.is_set():
                time.sleep(0.002)
            self.left.set()


@pytest.mark.parametrize("function", [succeeding, succeeding_later])
@pytest.mark.parametrize("moment", ["before_run", "after_run"])
def test_nothing_is_raised_into_a_hook(function: Callable[..., Any], moment: str) -> None:
    hook = Holding(moment)
    harness = Harness(function, hook)
    slot = harness.claim()
    thread = threading.Thread(target=harness.runner.run, args=[slot])
    thread.start()
    assert hook.entered.wait(10)
    assert slot.run is not None
    assert not slot.run.interrupt(TaskCancelled), "it is tried again once the function runs"
    hook.release.set()
    thread.join(10)
    assert hook.left.wait(10)
    wait_for(lambda: len(harness.ends) == 1, 10, "the end", every=0.005)
    assert harness.ends[0].outcome == Succeeded({"value": 1})


@pytest.mark.parametrize("function", [succeeding, succeeding_later])
def test_the_outcome_is_handed_over_before_the_hooks_after_a_run(function: Callable[..., Any]) -> None:
    hook = Holding("after_run")
    harness = Harness(function, hook)
    thread = threading.Thread(target=harness.runner.run, args=[harness.claim()])
    thread.start()
    assert hook.entered.wait(10)
    assert [end.outcome for end in harness.ends] == [Succeeded({"value": 1})]
    assert harness.claims.running == (function is succeeding), "a thread is taken until its hooks have ended"
    hook.release.set()
    thread.join(10)
    assert hook.left.wait(10)


@pytest.mark.parametrize("function", [waiting, waiting_later])
def test_the_time_of_a_hook_counts_against_no_limit(function: Callable[..., Any]) -> None:
    hook = Holding("before_run")
    harness = Harness(function, hook)
    slot = harness.claim(soft_timeout_seconds=30.0)
    thread = threading.Thread(target=harness.runner.run, args=[slot])
    began = time.monotonic()
    thread.start()
    assert hook.entered.wait(10)
    entered = time.monotonic()
    time.sleep(0.5)
    set_back(harness, slot, 60)
    assert harness.claims.past_soft_limit() == [slot], "without the hook's end, its time is the task's"
    held = time.monotonic() - entered
    hook.release.set()
    wait_for(lambda: slot.run is not None and harness.claims.past_soft_limit() == [], 10, "a new start", every=0.005)
    (entry,) = harness.claims._table.entries()
    assert time.monotonic() - entry.begun_at < 30, "the supervisor's clock starts again as well"
    wait_for(lambda: slot.run is not None and slot.run.interrupt(TaskCancelled), 10, "the interrupt", every=0.005)
    thread.join(10)
    wait_for(lambda: len(harness.ends) == 1, 10, "the end", every=0.005)
    assert harness.ends[0].run_seconds is not None
    assert held + harness.ends[0].run_seconds <= time.monotonic() - began


def set_back(harness: Harness, slot: Slot, seconds: float) -> None:
    """As if it had begun so much earlier, also to the supervisor."""
    table = harness.claims._table
    slot.begun_at -= seconds
    table._put(table._at(slot.index) + slots._BEGUN_AT, slots._BEGUN, slot.begun_at)
    (entry,) = table.entries()
    assert entry.begun_at == slot.begun_at


def test_an_error_of_a_hook_is_logged_once_with_its_name_and_counted_every_time() -> None:
    metrics = Metrics("tests")
    harness = Harness(succeeding, Raising(RuntimeError("of the hook")), metrics=metrics)
    with capture_logs() as lines:
        for _ in range(3):
            harness.runner.run(harness.claim())
    name = f"{__name__}:Raising"
    failed = [(line["hook"], line["moment"]) for line in lines if line["event"] == "hook_failed"]
    assert failed == [(name, "before_run"), (name, "after_run")]

    def count(moment: str) -> float | None:
        return metrics.registry.get_sample_value("taskyard_hook_errors_total", {"hook": name, "moment": moment})

    assert {moment: count(moment) for moment in MOMENTS} == {
        "before_run": 3.0, "after_run": 3.0, "on_retry": 0.0, "on_failure": 0.0,
    }  # fmt: skip


def test_a_hook_that_takes_longer_than_a_second_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Hook):
        def after_run(self, run: Run, outcome: Outcome) -> None:
            time.sleep(0.1)

    assert hooks_module.SLOW_SECONDS == 1
    monkeypatch.setattr(hooks_module, "SLOW_SECONDS", 60)
    with capture_logs() as lines:
        Harness(succeeding, Slow()).run()
    assert lines == [], "below the bound nothing is said"
    monkeypatch.setattr(hooks_module, "SLOW_SECONDS", 0.05)
    with capture_logs() as lines:
        assert isinstance(Harness(succeeding, Slow()).run(), Succeeded)
    (line,) = lines
    assert (line["event"], line["moment"]) == ("hook_slow", "after_run")
    assert line["hook"].endswith("Slow")


def test_a_context_variable_that_a_hook_sets_holds_in_the_function() -> None:
    """A tracing hook makes the span that the task's own spans belong to."""
    from contextvars import ContextVar

    span: ContextVar[str] = ContextVar("span", default="none")

    class Tracing(Hook):
        def before_run(self, run: Run) -> None:
            span.set(str(run.task_id))

    seen: list[str] = []

    def here(params: Input, context: TaskContext) -> Output:
        seen.append(span.get())
        return Output(value=1)

    async def on_the_loop(params: Input, context: TaskContext) -> Output:
        seen.append(span.get())
        return Output(value=1)

    for function in (here, on_the_loop):
        harness = Harness(function, Tracing())
        harness.run()
        assert seen.pop() == str(harness.ends[0].slot.task_id)


class Ending(Hook):
    def __init__(self, heard: list[str], name: str, does: Callable[[], Any]) -> None:
        self._heard, self._name, self._does = heard, name, does

    def child_ending(self) -> None:
        self._heard.append(self._name)
        self._does()


def no_reason() -> None:
    raise SystemExit(3)


def test_at_the_end_of_a_child_each_hook_has_its_turn_and_an_error_is_logged_and_counted() -> None:
    heard: list[str] = []
    metrics = Metrics("worker")
    hooks = Hooks([Ending(heard, "first", lambda: None), Ending(heard, "second", no_reason)], metrics)
    with capture_logs() as logs:
        hooks.child_ending()
    assert heard == ["second", "first"]
    name = f"{__name__}:Ending"
    told = [(log["event"], log["hook"], log["moment"], log["error"]) for log in logs]
    assert told == [("hook_failed", name, "child_ending", "SystemExit")]
    labels = {"hook": name, "moment": "child_ending"}
    assert metrics.registry.get_sample_value("taskyard_hook_errors_total", labels) == 1.0


def test_a_hook_that_never_returns_does_not_keep_a_child() -> None:
    may_end = threading.Event()
    with capture_logs() as logs:
        began = time.monotonic()
        Hooks([Ending([], "stuck", may_end.wait)]).child_ending(seconds=0.1)
        assert time.monotonic() - began < 5
    may_end.set()
    assert [(log["event"], log["moment"]) for log in logs] == [("hook_unfinished", "child_ending")]
