"""The runner: every claim that begins ends exactly once, whatever the task does."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from taskyard.catalogue.secrets import Cipher, Secret
from taskyard.catalogue.types import Catalogue, Params, Result, TaskType
from taskyard.domain.tasks import Failed, Outcome, RetryIn, Succeeded
from taskyard.running.attempt import Services
from taskyard.running.context import TaskContext
from taskyard.running.hooks import Hook, Hooks, Run
from taskyard_worker.child import runner as runner_module
from taskyard_worker.child.event_loop import EventLoop
from taskyard_worker.child.run_log import RunLog
from taskyard_worker.child.runner import Runner
from taskyard_worker.child.skills import Skills
from taskyard_worker.child.slot import Slot
from taskyard_worker.child.writer import End
from taskyard_worker.slots import Phase
from tests.support.fleet import wait_for

from .making import claim_some, make_claim_table, make_watch


class Input(Params):
    value: int = 0
    token: Secret[str] | None = None


class Output(Result):
    value: int


TYPE = TaskType(name="tests.task", description="", params=Input, result=Output)


class Harness:
    """A runner of one function, and the ends of its claims."""

    def __init__(
        self, function: Callable[..., Any], cipher: Cipher | None = None, threads: int = 4, hook: Hook | None = None
    ) -> None:
        nothing: Any = None
        self.ends: list[End] = []
        self.told: list[str] = []
        skills = Skills(Catalogue([replace(TYPE, function=function)]), cipher or Cipher([]))
        self.claims = make_claim_table(threads, async_types=skills.async_types)
        self.runner = Runner(
            skills,
            Services(nothing, nothing, nothing),
            self.claims,
            self,
            Hooks([hook or RunLog()]),
            EventLoop(),
            *make_watch(),
        )

    def end(self, end: End) -> None:
        self.ends.append(end)

    def progress(self, *_: object) -> None: ...

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        self.told.append(data["message"])

    def claim(self, count: int = 1, **changes: Any) -> list[Slot]:
        return claim_some(self.claims, count, name=TYPE.name, params={"value": 1}, **changes)

    def run(self, **changes: Any) -> End:
        (slot,) = self.claim(**changes)
        self.runner.run(slot)
        self.wait(1)
        (end,) = self.ends
        assert end.slot is slot
        assert self.claims.running == 0, "its thread or its place on the loop is free again"
        return end

    def wait(self, count: int) -> None:
        wait_for(lambda: len(self.ends) >= count, 10, f"{count} ends", every=0.005)


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def task(params: Input, context: TaskContext) -> NoReturn:
        raise error

    return task


def raising_later(error: BaseException) -> Callable[..., Any]:
    async def task(params: Input, context: TaskContext) -> NoReturn:
        await asyncio.sleep(0)
        raise error

    return task


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise self


def test_a_function_gets_its_parameters_and_its_result_is_handed_over() -> None:
    end = Harness(lambda params, context: Output(value=params.value + context.attempt)).run(attempt=2)
    assert end.outcome == Succeeded({"value": 3})
    assert end.run_seconds is not None
    assert 0 <= end.run_seconds < 5


def test_an_attempt_that_awaits_in_a_thread_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would be a defect of the platform; the claim must end, whatever it does."""

    async def awaiting(*_: object) -> NoReturn:
        await asyncio.sleep(0)
        raise AssertionError("never")

    monkeypatch.setattr(Runner, "_outcome", awaiting)
    outcome = Harness(lambda params, context: Output(value=1)).run().outcome
    assert isinstance(outcome, RetryIn | Failed)
    assert "awaited" in outcome.fault.message


def test_the_start_and_the_end_of_each_run_are_logged_with_its_ids(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    harness = Harness(lambda params, context: Output(value=1))
    with capture_logs() as lines:
        harness.run(traceparent=f"00-{'a1' * 16}-{'b2' * 8}-01", request_id="r-1", attempt=2)
    assert [line["event"] for line in lines] == ["task_started", "task_succeeded"]
    for line in lines:
        assert line["trace_id"] == "a1" * 16
        assert (line["task_name"], line["attempt"], line["request_id"]) == (TYPE.name, 2, "r-1")
        assert UUID(line["task_id"])


def test_an_async_function_runs_too() -> None:
    async def task(params: Input, context: TaskContext) -> Output:
        await asyncio.sleep(0.01)
        return Output(value=params.value)

    end = Harness(task).run()
    assert end.outcome == Succeeded({"value": 1})
    assert (end.run_seconds or 0) >= 0.01


@pytest.mark.parametrize("make", [raising, raising_later])
@pytest.mark.parametrize(
    "error", [SystemExit(0), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), MemoryError()]
)
def test_no_error_gets_out_of_a_run_or_leaves_a_claim_without_an_end(
    make: Callable[..., Any], error: BaseException
) -> None:
    outcome = Harness(make(error)).run().outcome
    assert isinstance(outcome, Failed | RetryIn)
    assert outcome.fault.type == type(error).__name__


@pytest.mark.parametrize("make", [raising, raising_later])
def test_a_task_that_cancels_itself_fails_instead_of_running_for_ever(make: Callable[..., Any]) -> None:
    assert isinstance(Harness(make(asyncio.CancelledError())).run().outcome, Failed)


@pytest.mark.parametrize("make", [raising, raising_later])
def test_an_error_whose_own_code_fails_ends_the_claim_all_the_same(make: Callable[..., Any]) -> None:
    outcome = Harness(make(Unspeakable())).run().outcome
    assert isinstance(outcome, Failed | RetryIn)
    assert outcome.fault.code == "task_exception"


def test_an_endless_recursion_ends_the_task_only() -> None:
    def task(params: Input, context: TaskContext) -> Output:
        return task(params, context)

    outcome = Harness(task).run().outcome
    assert isinstance(outcome, RetryIn)
    assert outcome.fault.type == "RecursionError"
    assert len(outcome.fault.traceback or "") <= 32_000


def test_parameters_that_no_longer_fit_fail_for_good_without_a_run() -> None:
    ran: list[int] = []
    harness = Harness(lambda params, context: ran.append(1))
    (slot,) = claim_some(harness.claims, name=TYPE.name, params={"value": "many"})
    harness.runner.run(slot)
    (end,) = harness.ends
    assert isinstance(end.outcome, Failed)
    assert end.outcome.fault.code == "params_invalid"
    assert ran == []


def test_a_secret_that_no_key_opens_fails_for_good_and_a_known_one_is_struck_out_of_all_it_says() -> None:
    key = Fernet.generate_key().decode()
    sealed = {"value": 1, "token": Cipher([key]).seal("hunter2")}

    def task(params: Input, context: TaskContext) -> Output:
        assert params.token is not None
        context.log(f"with {params.token.reveal()}")
        raise RuntimeError(params.token.reveal())

    harness = Harness(task, Cipher([key]))
    (slot,) = claim_some(harness.claims, name=TYPE.name, params=sealed)
    harness.runner.run(slot)
    assert "hunter2" not in repr(harness.ends) + repr(harness.told)
    assert harness.told == ["with ***"]

    harness = Harness(task, Cipher([Fernet.generate_key().decode()]))
    (slot,) = claim_some(harness.claims, name=TYPE.name, params=sealed)
    harness.runner.run(slot)
    outcome = harness.ends[0].outcome
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "secret_unreadable"


def test_a_claim_that_was_given_back_is_not_run() -> None:
    ran: list[int] = []
    harness = Harness(lambda params, context: ran.append(1))
    (slot,) = harness.claim()
    harness.claims.give_back()
    harness.runner.run(slot)
    assert (ran, harness.ends) == ([], [])


def test_a_claim_that_is_delivered_twice_runs_once() -> None:
    harness = Harness(lambda params, context: Output(value=1))
    (slot,) = harness.claim()
    harness.runner.run(slot)
    harness.runner.run(slot)
    assert len(harness.ends) == 1


def test_the_thread_that_starts_an_async_task_is_free_at_once_and_a_hundred_run_side_by_side() -> None:
    running = threading.Semaphore(0)
    release = threading.Event()

    async def task(params: Input, context: TaskContext) -> Output:
        running.release()
        while not release.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.01)
        return Output(value=1)

    harness = Harness(task)
    for slot in (slot for _ in range(25) for slot in harness.claim(4)):
        harness.runner.run(slot)
    assert all(running.acquire(timeout=5) for _ in range(100))
    assert harness.claims.room(["default"]) == 0
    release.set()
    harness.wait(100)
    assert (harness.claims.running, harness.claims.room(["default"])) == (0, 4)


def test_an_async_task_that_blocks_the_loop_holds_up_others_but_loses_none() -> None:
    async def task(params: Input, context: TaskContext) -> Output:
        time.sleep(0.1)  # noqa: ASYNC251 - on purpose
        return Output(value=1)

    harness = Harness(task)
    for slot in harness.claim(3):
        harness.runner.run(slot)
    harness.wait(3)
    assert [end.outcome for end in harness.ends] == [Succeeded({"value": 1})] * 3


def exits(_: object) -> NoReturn:
    raise SystemExit(3)


@pytest.mark.parametrize("leave", [exits, asyncio.AbstractEventLoop.stop])
def test_an_async_task_that_ends_the_loop_holds_up_no_other(leave: Callable[[asyncio.AbstractEventLoop], None]) -> None:
    async def task(params: Input, context: TaskContext) -> Output:
        if context.attempt == 1:

            async def beside() -> None:
                leave(asyncio.get_running_loop())

            await asyncio.gather(asyncio.create_task(beside()))
        return Output(value=1)

    harness = Harness(task)
    for slot in (*harness.claim(1), *harness.claim(1, attempt=2)):
        harness.runner.run(slot)
    harness.wait(2)
    outcomes = {end.slot.work.attempt: end.outcome for end in harness.ends if end.slot.work}
    assert outcomes[2] == Succeeded({"value": 1})


def test_what_another_task_raised_into_all_threads_of_a_child_that_it_broke_is_no_outcome_of_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner_module, "SHOWS_WITHIN_SECONDS", 30)
    harness = Harness(lambda params, context: sys.exit(3))
    (slot,) = harness.claim()
    threading.Timer(0.1, harness.claims.broken.set).start()
    harness.runner.run(slot)
    assert harness.ends == []
    assert slot.phase is Phase.BEGUN, "to the supervisor it has to run again"


def test_a_function_that_raises_system_exit_leaves_its_thread_alive() -> None:
    harness = Harness(lambda params, context: sys.exit(3))
    slots = harness.claim(2)

    def run_both() -> None:
        for slot in slots:
            harness.runner.run(slot)

    thread = threading.Thread(target=run_both)
    thread.start()
    thread.join(5)
    assert len(harness.ends) == 2


def test_a_thread_counts_as_taken_while_hooks_of_its_task_run() -> None:
    taken = []

    class Slow(Hook):
        def after_run(self, run: Run, outcome: Outcome) -> None:
            time.sleep(0.02)
            taken.append(harness.claims.running)

    harness = Harness(lambda params, context: Output(value=1), threads=1, hook=Slow())
    for _ in range(3):
        (slot,) = harness.claim()
        harness.runner.run(slot)
        harness.claims.forget([slot])
    assert taken == [1, 1, 1]
    assert 1 <= harness.claims.room(["default"]) <= 1 + 5, "no more ahead than can have its hooks within 100 ms"


def test_what_goes_wrong_around_one_task_keeps_no_claim_behind_it_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness(lambda params, context: Output(value=1), threads=1)
    slots = harness.claim(3)
    end = harness.end

    def break_once(ended: End) -> None:
        end(ended)
        if ended.slot is slots[1]:
            raise OSError("the disk is full")

    monkeypatch.setattr(harness, "end", break_once)
    assert harness.claims.waiting.add(slots) == 1
    harness.runner.run_all()
    assert [end.slot for end in harness.ends] == slots
    assert harness.claims.waiting.add(slots) == 1, "its thread is idle again"
