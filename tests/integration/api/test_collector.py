"""Requests that arrive together are committed together, and a bad one does not fail the others."""

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from taskyard.domain.errors import LedgerUnavailable, Overloaded
from taskyard.lifecycle.submit import NewTask, submit
from taskyard.store import ledger
from taskyard_api import patience
from taskyard_api.collector import Collector
from taskyard_api.problems import problem_of
from taskyard_api.refusals import Invalid
from tests.support.fleet import wait_for
from tests.support.ledger import new_task


class Writes:
    """Writes units of tasks, counts how, and fails on demand after the commit."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.batches: list[int] = []
        self.lose_answers = 0
        self.gate: threading.Event | None = None

    def write(self, units: Sequence[Sequence[NewTask]]) -> Sequence[Any]:
        if self.gate is not None:
            self.gate.wait(20)
        tasks = [task for unit in units for task in unit]
        done = ledger.run(self.engine, lambda conn: submit(conn, tasks))
        self.batches.append(len(units))
        if self.lose_answers:
            self.lose_answers -= 1
            lost = psycopg.OperationalError("the connection broke")
            raise OperationalError("INSERT", {}, lost, connection_invalidated=True)
        written = iter(done.answer)
        return [[next(written) for _ in unit] for unit in units]

    def count(self) -> int:
        with self.engine.connect() as conn:
            return int(conn.execute(text("SELECT count(*) FROM task")).scalar_one())


@pytest.fixture
def writes(engine: Engine) -> Writes:
    return Writes(engine)


def run(writes: Writes, scenario: Any, **more: Any) -> Any:
    async def main() -> Any:
        with ThreadPoolExecutor(2) as threads:
            collector: Collector[Any, Any] = Collector(writes.write, threads, name="test", **more)
            return await scenario(collector)

    return asyncio.run(main())


def test_a_task_that_cannot_be_stored_fails_alone(writes: Writes) -> None:
    poisoned = new_task(params={"text": "\x00"})
    invalid = new_task(queue=None)

    async def scenario(collector: Collector[Any, Any]) -> list[Any]:
        units = [[new_task()] for _ in range(50)]
        units.insert(20, [poisoned])
        units.insert(40, [new_task(), invalid])
        return await asyncio.gather(*(collector.submit(u, len(u)) for u in units), return_exceptions=True)

    answers = run(writes, scenario)
    assert [n for n, answer in enumerate(answers) if isinstance(answer, Exception)] == [20, 40]
    assert isinstance(answers[20], Invalid)
    assert writes.count() == 50


def test_a_flush_whose_answer_was_lost_is_repeated_and_writes_nothing_twice(writes: Writes) -> None:
    writes.lose_answers = 2

    async def scenario(collector: Collector[Any, Any]) -> list[Any]:
        return await asyncio.gather(*(collector.submit([new_task()]) for _ in range(10)))

    assert len(run(writes, scenario)) == 10
    assert writes.count() == 10


def test_a_cancelled_caller_does_not_disturb_the_others(writes: Writes) -> None:
    writes.gate = threading.Event()

    async def scenario(collector: Collector[Any, Any]) -> list[Any]:
        callers = [asyncio.create_task(collector.submit([new_task()])) for _ in range(10)]
        await asyncio.sleep(0.05)
        late = [asyncio.create_task(collector.submit([new_task()])) for _ in range(10)]
        await asyncio.sleep(0)
        callers[3].cancel()
        late[4].cancel()
        assert writes.gate is not None
        writes.gate.set()
        return await asyncio.gather(*callers, *late, return_exceptions=True)

    answers = run(writes, scenario)
    assert sum(isinstance(a, asyncio.CancelledError) for a in answers) == 2
    assert sum(isinstance(a, list) for a in answers) == 18


def test_a_batch_is_never_split_and_flushes_are_bounded(writes: Writes) -> None:
    writes.gate = threading.Event()

    async def scenario(collector: Collector[Any, Any]) -> None:
        units = [[new_task() for _ in range(size)] for size in (1, 300, 200, 100, 56, 1000)]
        callers = []
        for unit in units:
            callers.append(asyncio.create_task(collector.submit(unit, len(unit))))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert writes.gate is not None
        writes.gate.set()
        for unit, answer in zip(units, await asyncio.gather(*callers), strict=True):
            assert [t.id for t in answer] == [t.id for t in unit]

    run(writes, scenario)
    assert sum(writes.batches) == 6
    assert writes.count() == 1657


def test_too_much_waiting_is_refused_at_once(writes: Writes) -> None:
    writes.gate = threading.Event()

    async def scenario(collector: Collector[Any, Any]) -> list[Any]:
        callers = [asyncio.create_task(collector.submit([new_task()])) for _ in range(700)]
        await asyncio.sleep(0.1)
        done = [c for c in callers if c.done()]
        assert done
        assert all(isinstance(c.exception(), Overloaded) for c in done)
        assert writes.gate is not None
        writes.gate.set()
        return await asyncio.gather(*callers, return_exceptions=True)

    answers = run(writes, scenario, max_waiting=100)
    assert writes.count() == sum(isinstance(a, list) for a in answers) >= 100


def flying_and_waiting(collector: Collector[Any, Any]) -> tuple[int, int]:
    return collector._pace._running, len(collector._waiting)


def test_while_every_flush_hangs_nobody_waits_behind_them(writes: Writes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience.Patience.__init__, "__defaults__", (1.0,))
    writes.gate = threading.Event()

    async def scenario(collector: Collector[Any, Any]) -> None:
        callers = []
        for stand in ((1, 0), (2, 0), (2, 1)):  # two flights, and one unit that waits behind them
            callers.append(asyncio.create_task(collector.submit([new_task()])))
            await asyncio.to_thread(wait_for, lambda stand=stand: flying_and_waiting(collector) == stand, 20)
        monkeypatch.setattr(patience, "MAX_TURN_SECONDS", 0.3)
        await asyncio.sleep(0.4)
        with pytest.raises(Overloaded):
            await collector.submit([new_task()])
        answers = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(a) for a in answers] == [LedgerUnavailable] * 3, "each has an answer although nothing moves"
        assert writes.gate is not None
        writes.gate.set()
        await collector.close()

    run(writes, scenario)
    assert writes.count() == 2, "what had not begun when its caller left is not written"


def test_callers_soon_learn_that_the_database_is_away_and_close_writes_waiting_units(engine: Engine) -> None:
    class Away:
        def write(self, _: Any) -> Any:
            raise LedgerUnavailable("connection refused")

    async def scenario(collector: Collector[Any, Any]) -> None:
        with pytest.raises(LedgerUnavailable):
            await collector.submit([new_task()])

    started = time.monotonic()
    run(Away(), scenario)  # type: ignore[arg-type]
    assert time.monotonic() - started < 10

    async def closing(collector: Collector[Any, Any]) -> list[Any]:
        callers = [asyncio.create_task(collector.submit([new_task()])) for _ in range(20)]
        await asyncio.sleep(0)
        await collector.close()
        with pytest.raises(Overloaded):
            await collector.submit([new_task()])
        return await asyncio.gather(*callers)

    assert len(run(Writes(engine), closing)) == 20


def test_values_that_postgresql_cannot_store_are_refused_as_invalid(engine: Engine) -> None:
    writes = Writes(engine)

    async def main() -> list[Any]:
        with ThreadPoolExecutor(2) as threads:
            collector: Collector[Any, Any] = Collector(writes.write, threads, name="test")
            units = [[new_task()], [new_task(tags=["\x00"])], [new_task(max_attempts=2**40)]]
            return await asyncio.gather(*(collector.submit(unit) for unit in units), return_exceptions=True)

    good, *bad = asyncio.run(main())
    assert len(good) == 1
    for refused in bad:
        assert isinstance(refused, Invalid)
        assert problem_of(refused).status == 422
    assert writes.count() == 1
