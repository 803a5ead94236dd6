"""Interrupts: raised into a task at any moment, they land in its own code and nowhere else.

`test_an_interrupt_at_any_line_…` raises at each line that the platform and the task execute during a run, one
run a line, and checks each time what must hold.
"""

from __future__ import annotations

import gc
import io
import itertools
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import pytest

from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import Catalogue, Params, Result, TaskType
from taskyard.domain.errors import Interrupt, SoftTimeLimitExceeded, TaskCancelled
from taskyard.domain.tasks import Cancelled, Outcome, RetryIn, Succeeded
from taskyard.running import attempt, capture, context, hooks, speaker
from taskyard.running.attempt import Services
from taskyard.running.context import TaskContext
from taskyard.running.hooks import Hooks
from taskyard.storage.local import LocalStorage
from taskyard_worker.child import copies, interrupts, run_log, runner
from taskyard_worker.child.event_loop import EventLoop
from taskyard_worker.child.interrupts import ShieldedStorage, ThreadInterrupts
from taskyard_worker.child.run_log import RunLog
from taskyard_worker.child.runner import Runner
from taskyard_worker.child.skills import Skills
from taskyard_worker.child.slot import Slot
from taskyard_worker.child.writer import End
from taskyard_worker.slots import Phase

from .making import claim_some, make_claim_table, make_watch

MODULES = (attempt, capture, context, copies, hooks, interrupts, run_log, runner)
PLATFORM = {Path(module.__file__).name for module in MODULES if module.__file__}


class Input(Params):
    pass


class Output(Result):
    value: int


TYPE = TaskType(name="tests.task", description="", params=Input, result=Output)


class Harness:
    """A runner; every call that it makes is checked for having come to its end."""

    def __init__(self, function: Any, storage: Any = None) -> None:
        self.ends: list[End] = []
        self.notes: list[str] = []
        self.progressed: list[float] = []
        self.inside = 0  # calls under way that an interrupt must not leave
        self.transactions: list[str] = []
        skills = Skills(Catalogue([replace(TYPE, function=function)]), Cipher([]))
        self.claims = make_claim_table(4, async_types=skills.async_types)
        self.runner = Runner(
            skills,
            Services(storage, self.submit, self),
            self.claims,
            self,
            Hooks([RunLog()]),
            EventLoop(),
            *make_watch(),
        )

    def progress(self, task_id: UUID, claim: UUID, current: float, total: float | None, text: str) -> None:
        self.inside += 1
        self.progressed.append(current)
        self.inside -= 1

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        self.inside += 1
        self.notes.append(data["message"])
        self.inside -= 1

    def submit(self, parent: TaskContext, children: Any) -> list[UUID]:
        self.inside += 1
        ids = [UUID(int=n) for n, _ in enumerate(children)]
        self.inside -= 1
        return ids

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self.transactions.append("began")
        try:
            yield None
        except BaseException as e:
            self.transactions.append("rolled back" if not isinstance(e, Interrupt) else "interrupted")
            raise
        self.transactions.append("committed")

    def async_transaction(self) -> Any:
        return None  # no test is a coroutine

    def end(self, end: End) -> None:
        self.ends.append(end)

    def claim(self, **changes: Any) -> Slot:
        (slot,) = claim_some(self.claims, 1, name=TYPE.name, params={}, **changes)
        assert isinstance(slot, Slot)
        return slot

    def run(self, **changes: Any) -> Outcome:
        slot = self.claim(**changes)
        self.runner.run(slot)
        return self.ends[-1].outcome


def busy(params: Input, ctx: TaskContext) -> Output:
    """Does everything that a task can ask of the platform."""
    ctx.progress(1, 2, "first")
    ctx.log("a line")
    sys.stdout.write("printed\n")
    logging.getLogger("a.library").warning("logged")
    with ctx.db():
        ctx.log("in a transaction")
    ctx.submit(TYPE, {})
    with ctx.storage.writer() as writer:
        writer.write(b"some bytes")
        stored = writer.commit()
    with ctx.storage.open(stored.key) as file:
        assert file.read() == b"some bytes"
    ctx.storage.delete(stored.key)
    ctx.check_cancelled()
    return Output(value=1)


def is_held(lock: Any) -> bool:
    """Whether another thread would wait for it."""
    free: list[bool] = []

    def attempt() -> None:
        if lock.acquire(timeout=0.2):
            free.append(True)
            lock.release()

    other = threading.Thread(target=attempt)
    other.start()
    other.join()
    return not free


class AtLine:
    """Interrupts the run of `slot` at the n-th line that is executed in our files and in this one."""

    def __init__(self, slot: Slot, at: int, kind: type[Interrupt] = TaskCancelled) -> None:
        self.slot = slot
        self.at = at
        self.kind = kind
        self.lines = 0
        self.where = ""
        self.raised = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = Path(frame.f_code.co_filename).name
        if name not in PLATFORM and name != Path(__file__).name:
            return None
        if event == "line":
            # Another thread would wait for the lock that this very thread may hold at this line.
            run = self.slot.run
            if isinstance(run, ThreadInterrupts) and not run._lock.locked():
                self.lines += 1
                if self.lines == self.at:
                    self.where = f"{name}:{frame.f_lineno}"
                    self.raised = run.interrupt(self.kind)
        return self


def check_everything_is_whole(harness: Harness, slot: Slot, where: str) -> None:
    assert harness.inside == 0, f"interrupted inside of the platform, at {where}"
    assert len(harness.ends) == 1, f"one end a claim, at {where}"
    assert slot.phase is Phase.FINISHED, where
    assert harness.transactions in ([], ["began", "committed"]), f"a transaction was cut off at {where}"
    outcome = harness.ends[0].outcome
    assert isinstance(outcome, Cancelled | Succeeded), f"{outcome} at {where}"
    # The thread is as good as before: nothing of it is left for the next task.
    assert isinstance(harness.run(), Succeeded), f"the next task suffered, at {where}"


@pytest.fixture
def captured() -> Iterator[None]:
    """Prints and log records go the way they go in a child; all is put back afterwards."""
    root, stdout, stderr = logging.getLogger(), sys.stdout, sys.stderr
    handlers, level = root.handlers[:], root.level
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    root.handlers = [logging.StreamHandler(sys.stderr)]
    capture.install()
    yield
    speaker.put_back_before_each.clear()
    sys.stdout, sys.stderr = stdout, stderr
    root.handlers = handlers
    root.setLevel(level)


# A file that was opened for the task, and not yet in its hands, is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.long)])
def test_an_interrupt_at_any_line_lands_in_the_task_and_leaves_the_platform_whole(tmp_path: Path, step: int) -> None:
    cancelled = 0
    for at in itertools.count(1, step):
        storage = LocalStorage(tmp_path)
        harness = Harness(busy, storage)
        slot = harness.claim()
        tracer = AtLine(slot, at)
        sys.settrace(tracer)
        try:
            harness.runner.run(slot)
        finally:
            sys.settrace(None)
        if not tracer.where:
            break
        check_everything_is_whole(harness, slot, tracer.where)
        cancelled += isinstance(harness.ends[0].outcome, Cancelled)
        left = [p for p in tmp_path.rglob("*") if p.is_file() and "tmp" in str(p.relative_to(tmp_path))]
        assert not left, f"half a file was left behind at {tracer.where}: {left}"
        locks = [h.lock for h in logging.getLogger().handlers if h.lock]
        assert not any(is_held(lock) for lock in locks), f"a handler's lock was kept at {tracer.where}"
    gc.collect()  # those files, here and not in some other test
    assert at > 100, "so many lines were tried"
    assert cancelled * step > at / 3, "most of them while the function ran"


def test_an_interrupt_inside_the_platform_is_raised_on_leaving_it() -> None:
    seen: list[str] = []

    def task(params: Input, ctx: TaskContext) -> Output:
        with ctx.db():
            assert isinstance(ctx.interrupts, ThreadInterrupts)
            assert ctx.interrupts.interrupt(TaskCancelled)
            seen.append("the block goes on")
        seen.append("never")
        return Output(value=1)

    harness = Harness(task)
    assert harness.run() == Cancelled()
    assert seen == ["the block goes on"]
    assert harness.transactions == ["began", "committed"]


def test_a_long_block_can_ask_whether_it_should_end() -> None:
    def task(params: Input, ctx: TaskContext) -> Output:
        with ctx.db():
            assert isinstance(ctx.interrupts, ThreadInterrupts)
            ctx.interrupts.interrupt(TaskCancelled)
            ctx.check_cancelled()
        return Output(value=1)

    harness = Harness(task)
    assert harness.run() == Cancelled()
    assert harness.transactions == ["began", "interrupted"]


def test_a_soft_limit_that_is_caught_gives_a_partial_result() -> None:
    def task(params: Input, ctx: TaskContext) -> Output:
        assert isinstance(ctx.interrupts, ThreadInterrupts)
        try:
            ctx.interrupts.interrupt(SoftTimeLimitExceeded)
            while True:
                pass
        except SoftTimeLimitExceeded:
            return Output(value=7)

    assert Harness(task).run() == Succeeded({"value": 7}, partial=True)


def test_a_soft_limit_that_is_not_caught_is_a_failed_attempt_and_tried_again() -> None:
    def task(params: Input, ctx: TaskContext) -> Output:
        assert isinstance(ctx.interrupts, ThreadInterrupts)
        ctx.interrupts.interrupt(SoftTimeLimitExceeded)
        while True:
            pass

    outcome = Harness(task).run(soft_timeout_seconds=1.5)
    assert isinstance(outcome, RetryIn)
    assert (outcome.fault.code, outcome.fault.kind) == ("soft_time_limit", "timeout")
    assert "1.5 s" in outcome.fault.message
    last = Harness(task).run(failures=3, max_attempts=4)
    assert not isinstance(last, RetryIn)
    expired: Any = Harness(task).run(life_left_seconds=1.0)
    assert expired.fault.code == "expired"


def test_an_async_task_meets_its_interrupts_where_it_waits() -> None:
    import asyncio

    met: list[BaseException] = []

    async def task(params: Input, ctx: TaskContext) -> Output:
        for _ in range(2):
            try:
                await asyncio.sleep(30)
            except SoftTimeLimitExceeded as e:
                met.append(e)
        return Output(value=1)

    harness = Harness(task)
    slot = harness.claim()
    harness.runner.run(slot)
    assert slot.run is not None
    for kind in (SoftTimeLimitExceeded, TaskCancelled):
        deadline = time.monotonic() + 30
        while not slot.run.interrupt(kind) and time.monotonic() < deadline:
            time.sleep(0.01)
    deadline = time.monotonic() + 30
    while not harness.ends and time.monotonic() < deadline:
        time.sleep(0.01)
    assert harness.ends[0].outcome == Cancelled()
    assert len(met) == 1
    assert not harness.claims.interrupted_thread, "no exception was raised into a thread"


def interrupted(harness: Harness, *kinds: type[Interrupt], once: Callable[[], bool]) -> Outcome:
    """What an async task comes to that meets these where it waits: the first one when it has come so far."""
    slot = harness.claim()
    harness.runner.run(slot)
    deadline = time.monotonic() + 20
    while not once() and time.monotonic() < deadline:
        time.sleep(0.01)
    for kind in kinds:
        assert slot.run is not None
        while not slot.run.interrupt(kind) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
    while not harness.ends and time.monotonic() < deadline:
        time.sleep(0.01)
    return harness.ends[0].outcome


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize("kind", [SoftTimeLimitExceeded, TaskCancelled])
def test_coroutines_in_the_task_group_of_an_async_task_end_with_it(kind: type[Interrupt], in_body: bool) -> None:
    import asyncio

    begun: list[str] = []
    ended: list[str] = []

    async def part() -> None:
        try:
            begun.append("begun")
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def task(params: Input, ctx: TaskContext) -> Output:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(part())
            if in_body:
                await asyncio.sleep(30)
        return Output(value=1)

    outcome = interrupted(Harness(task), kind, once=lambda: len(begun) == 2)
    assert ended == ["cancelled"] * 2
    if kind is TaskCancelled:
        assert outcome == Cancelled()
    else:
        assert isinstance(outcome, RetryIn)
        assert (outcome.fault.code, outcome.fault.type) == ("soft_time_limit", "SoftTimeLimitExceeded")


def test_an_interrupt_that_was_swallowed_does_not_prevent_the_next_one() -> None:
    import asyncio

    begun: list[str] = []

    async def deaf() -> None:
        begun.append("begun")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)

    async def task(params: Input, ctx: TaskContext) -> Output:
        await asyncio.create_task(deaf())
        await asyncio.sleep(30)
        return Output(value=1)

    harness = Harness(task)
    assert interrupted(harness, SoftTimeLimitExceeded, TaskCancelled, once=lambda: bool(begun)) == Cancelled()


def test_a_task_that_ends_is_not_interrupted_any_more() -> None:
    run = ThreadInterrupts()
    assert run.call(lambda: 5) == 5
    assert not run.interrupt(TaskCancelled)


def test_a_second_interrupt_waits_until_the_first_was_handled() -> None:
    run = ThreadInterrupts()
    with pytest.raises(TaskCancelled):
        run.call(lambda: [run.interrupt(TaskCancelled), *range(10)])
    assert run.interrupted_thread


def test_threads_of_the_task_s_own_are_not_shielded_and_do_no_harm() -> None:
    def task(params: Input, ctx: TaskContext) -> Output:
        others = [threading.Thread(target=ctx.log, args=(f"line {n}",)) for n in range(8)]
        for other in others:
            other.start()
        for other in others:
            other.join()
        return Output(value=1)

    harness = Harness(task)
    assert isinstance(harness.run(), Succeeded)
    assert sorted(harness.notes) == [f"line {n}" for n in range(8)]


def test_an_interrupt_while_a_file_is_opened_leaves_no_half_of_it(tmp_path: Path) -> None:
    run = ThreadInterrupts()
    storage = ShieldedStorage(LocalStorage(tmp_path), run)

    def task() -> None:
        with run.shield:
            run.interrupt(TaskCancelled)
            with storage.writer() as writer:  # nested: nothing is raised in between
                writer.write(b"x")
                writer.commit()

    with pytest.raises(TaskCancelled):
        run.call(task)
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 1
