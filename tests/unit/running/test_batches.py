"""context.batches: every item once, in batches, and on from where the attempt before stopped."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from taskyard import Params, Result, TaskContext, TaskError, task
from taskyard.domain.errors import SoftTimeLimitExceeded, TaskCancelled
from taskyard.domain.ids import child_id, new_id
from taskyard.domain.tasks import Cancelled, Released, RetryIn
from taskyard.running.batches import KeptMarks
from taskyard.running.trial import run_task

ITEMS = list(range(250))


class WalkParams(Params):
    pass


class Walked(Result):
    batches: int


def walk(
    items: Iterable[Any] = (), *, each: Callable[[list[Any], TaskContext], object] = lambda *_: None, **given: Any
) -> Callable[..., Walked]:
    """A task that walks over the items; `each` is done with every batch."""

    @task("tests.walker")
    def walker(params: WalkParams, context: TaskContext) -> Walked:
        count = 0
        for batch in context.batches(items, **given):
            each(batch, context)
            count += 1
        return Walked(batches=count)

    return walker


class Seen:
    """Keeps what it was given; raises in its nth batch, before or after it has kept that."""

    def __init__(self, nth: int = 0, error: BaseException | None = None) -> None:
        self.items: list[Any] = []
        self.sizes: list[int] = []
        self._nth = nth
        self._error = error

    def __call__(self, batch: list[Any], context: TaskContext) -> None:
        self.sizes.append(len(batch))
        if len(self.sizes) == self._nth and self._error is not None:
            raise self._error
        self.items += batch


@pytest.mark.parametrize("items", [ITEMS, iter(ITEMS), (n for n in ITEMS)], ids=["list", "iterator", "generator"])
def test_every_item_comes_once_in_batches_of_a_hundred(items: Iterable[int]) -> None:
    seen = Seen()
    run = run_task(walk(items, each=seen))
    assert run.result == {"batches": 3}
    assert (seen.items, seen.sizes) == (ITEMS, [100, 100, 50])


def test_nothing_is_a_walk_without_batches() -> None:
    assert run_task(walk([])).result == {"batches": 0}


def test_the_progress_is_told_behind_each_batch_with_the_length_of_a_list() -> None:
    run = run_task(walk(ITEMS, message="Importing"))
    assert run.progress == [(n, 250, "Importing") for n in (0, 100, 200, 250)]
    assert run.stages == ["Importing"]
    assert run_task(walk(iter(ITEMS))).progress[-1] == (250, None, "")
    assert run_task(walk(iter(ITEMS), total=300)).progress[-1] == (250, 300, "")


@pytest.mark.parametrize("error", [TaskError("broken"), SoftTimeLimitExceeded(), TaskCancelled()])
def test_another_attempt_goes_on_behind_the_last_batch_that_was_done(error: BaseException) -> None:
    marks, task_id = KeptMarks(), new_id()
    first, second = Seen(2, error), Seen()
    outcome = run_task(walk(ITEMS, each=first), marks=marks, task_id=task_id).outcome
    assert isinstance(outcome, Cancelled if isinstance(error, TaskCancelled) else RetryIn)
    run = run_task(walk(iter(ITEMS), each=second, total=250), marks=marks, task_id=task_id, attempt=2)
    assert run.result == {"batches": 2}
    assert first.items + second.items == ITEMS
    assert [*run.progress[0]] == [100, 250, ""], "it is told where it goes on"
    assert run_task(walk(ITEMS), marks=marks, task_id=new_id()).result == {"batches": 3}, "of this task alone"


def test_a_walk_that_is_done_is_not_done_again() -> None:
    marks, task_id = KeptMarks(), new_id()
    for count in (3, 0):
        run = run_task(walk(ITEMS), marks=marks, task_id=task_id)
        assert run.result == {"batches": count}
    assert run_task(walk(ITEMS[:10]), marks=marks, task_id=task_id).result == {"batches": 0}


def test_a_task_has_one_walk() -> None:
    @task("tests.twice")
    def twice(params: WalkParams, context: TaskContext) -> Walked:
        return Walked(batches=sum(1 for _ in itertools.chain(context.batches([1]), context.batches([2]))))

    fault = run_task(twice).fault
    assert "one mark" in fault.message


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_has_an_item_at_least(size: int) -> None:
    assert "1 or more" in run_task(walk(ITEMS, size=size)).fault.message


def test_the_others_get_a_breath_between_two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    run_task(walk(ITEMS))
    assert slept == [0.01, 0.01], "and none behind the last one"


class Shield:
    """Tells whether interrupts are held back."""

    is_up = False

    def __enter__(self) -> None:
        self.is_up = True

    def __exit__(self, *_: object) -> None:
        self.is_up = False


def test_reading_the_items_can_be_interrupted_also_those_that_are_done() -> None:
    shield, marks, task_id, held_back = Shield(), KeptMarks(), new_id(), []
    marks[task_id] = 100

    def source() -> Iterator[int]:
        for item in ITEMS:
            held_back.append(shield.is_up)
            yield item

    @task("tests.slow_source")
    def walker(params: WalkParams, context: TaskContext) -> Walked:
        context.shield = shield
        return Walked(batches=sum(1 for _ in context.batches(source())))

    assert run_task(walker, marks=marks, task_id=task_id).result == {"batches": 2}
    assert len(held_back) == 250
    assert not any(held_back)


class Deadline:
    """Leaves the walk so many seconds, whatever the time limit of the type."""

    def __init__(self, seconds: float, *, took: float) -> None:
        self._seconds = seconds
        self._took = took

    def __call__(self, batch: list[Any], context: TaskContext) -> None:
        if context.soft_deadline == float("inf"):
            context.soft_deadline = time.monotonic() + self._seconds
        time.sleep(self._took)


def test_before_its_time_is_over_a_walk_is_given_back_at_no_cost_and_goes_on() -> None:
    marks, task_id, done = KeptMarks(), new_id(), []

    def each(batch: list[Any], context: TaskContext) -> None:
        done.extend(batch)
        Deadline(0.25, took=0.1)(batch, context)

    attempts = 0
    while True:
        attempts += 1
        run = run_task(walk(range(50), each=each, size=10), marks=marks, task_id=task_id, attempt=attempts)
        if not isinstance(run.outcome, Released):
            break
    assert run.result
    assert 1 < attempts <= 5
    assert done == [*range(50)], "no batch was cut, and none was done twice"


def test_each_attempt_does_a_batch_also_where_there_is_never_enough_time() -> None:
    marks, task_id = KeptMarks(), new_id()
    for done in (10, 20):
        run = run_task(walk(range(100), each=Deadline(0, took=0), size=10), marks=marks, task_id=task_id)
        assert isinstance(run.outcome, Released)
        assert marks[task_id] == done


def test_a_coroutine_walks_with_async_for() -> None:
    marks, task_id = KeptMarks(), new_id()
    seen: list[int] = []

    @task("tests.async_walker")
    async def walker(params: WalkParams, context: TaskContext) -> Walked:
        turns = asyncio.create_task(turn())
        count = 0
        async for batch in context.batches(ITEMS):
            if len(seen) == 100 and context.attempt == 1:
                raise TaskError("broken")
            seen.extend(batch)
            count += 1
        assert await turns, "the loop turned meanwhile"
        return Walked(batches=count)

    async def turn() -> bool:
        await asyncio.sleep(0)
        return True

    assert run_task(walker, marks=marks, task_id=task_id).fault.code == "broken"
    assert run_task(walker, marks=marks, task_id=task_id, attempt=2).result == {"batches": 2}
    assert seen == ITEMS


def test_a_coroutine_is_told_to_use_async_for() -> None:
    @task("tests.blocking_walker")
    async def walker(params: WalkParams, context: TaskContext) -> Walked:
        return Walked(batches=sum(1 for _ in context.batches(ITEMS)))

    assert "async for" in run_task(walker).fault.message


# Children with a key


def test_children_with_the_same_key_are_one() -> None:
    child = walk(ITEMS)

    @task("tests.parent")
    def parent(params: WalkParams, context: TaskContext) -> Walked:
        ids = [context.submit(child, {}, key=key) for key in ("a", "b", "a")]
        assert ids[0] == ids[2] != ids[1]
        assert ids[0] == child_id(context.task_id, "a")
        return Walked(batches=len(set(ids)))

    run = run_task(parent)
    assert run.result == {"batches": 2}
    assert [one.key for one in run.submitted] == ["a", "b"]


@pytest.mark.parametrize("key", ["", "x" * 513, "\0"])
def test_a_key_is_a_text_that_can_be_stored(key: str) -> None:
    @task("tests.key_parent")
    def parent(params: WalkParams, context: TaskContext) -> Walked:
        context.submit("tests.child", {}, key=key)
        return Walked(batches=0)

    assert "key holds" in run_task(parent).fault.message


def test_the_id_of_a_child_with_a_key_is_a_uuid_of_version_7_beside_its_parents() -> None:
    parent = new_id()
    ids = {child_id(parent, f"key {n}") for n in range(1000)}
    assert len(ids) == 1000
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert {one.int >> 80 for one in ids} == {parent.int >> 80}
    assert child_id(parent, "a") == child_id(parent, "a") != child_id(new_id(), "a")
