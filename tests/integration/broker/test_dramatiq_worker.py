"""How Dramatiq 2.2.1's worker makes and uses consumers: what our consumer relies on."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq import Consumer, Message, MessageProxy, Worker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from dramatiq.worker import ConsumerThread

from taskyard.broker.names import ACTOR, LANES, Names
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Publication
from taskyard_worker.child.broker import ChildBroker
from tests.support.fleet import wait_for
from tests.support.messages import message_for

QUEUE = "default"


class Echo(Consumer):
    """Hands out the given messages, once."""

    def __init__(self, messages: list[MessageProxy]) -> None:
        self.messages = messages
        self.acknowledged: list[str] = []

    def __next__(self) -> MessageProxy | None:
        if self.messages:
            return self.messages.pop(0)
        threading.Event().wait(0.01)
        return None

    def ack(self, message: MessageProxy) -> None:
        self.acknowledged.append(message.message_id)

    nack = ack


class EchoBroker(ChildBroker):
    """The broker of a child, with another consumer."""

    def __init__(self) -> None:
        super().__init__(next_message=None)  # type: ignore[arg-type]
        self.echo = Echo([])

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> Consumer:
        return self.echo


@pytest.fixture
def lanes() -> tuple[EchoBroker, list[Any]]:
    broker = EchoBroker()
    ran: list[Any] = []
    dramatiq.actor(actor_name=ACTOR, queue_name=LANES, broker=broker)(ran.append)
    return broker, ran


def message_with(what: Any) -> MessageProxy:
    return MessageProxy(Message(queue_name=LANES, actor_name=ACTOR, args=(what,), kwargs={}, options={}))


def test_a_worker_has_a_consumer_for_each_declared_queue_and_for_no_other(
    lanes: tuple[EchoBroker, list[Any]], client: redis.Redis, names: Names
) -> None:
    ours = Worker(lanes[0], worker_threads=1, worker_timeout=10)
    ours.start()
    theirs = RedisBroker(client=client, namespace=names.namespace, middleware=[])  # type: ignore[no-untyped-call]
    theirs.declare_queue(QUEUE)
    stocks = Worker(theirs, worker_threads=1, worker_timeout=10)
    stocks.start()
    try:
        assert set(ours.consumers) == {LANES}
        assert set(stocks.consumers) == {QUEUE, f"{QUEUE}.DQ"}, "which is why our broker declares no delay queue"
    finally:
        ours.stop(timeout=2000)
        stocks.stop(timeout=2000)


def test_an_argument_reaches_the_actor_as_the_same_object(lanes: tuple[EchoBroker, list[Any]]) -> None:
    broker, ran = lanes
    things = [object() for _ in range(20)]
    broker.echo.messages = [message_with(t) for t in things]
    ids = [m.message_id for m in broker.echo.messages]
    worker = Worker(broker, worker_threads=4, worker_timeout=10)
    worker.start()
    worker.work_queue.join()
    wait_for(lambda: len(broker.echo.acknowledged) == 20)
    worker.stop(timeout=2000)
    assert set(map(id, ran)) == set(map(id, things))
    assert sorted(broker.echo.acknowledged) == sorted(ids)


def test_stopping_ends_the_threads_and_requeues_messages_that_none_took(
    lanes: tuple[EchoBroker, list[Any]],
) -> None:
    broker, _ = lanes
    gate = threading.Event()
    requeued: list[MessageProxy] = []

    def wait(_: int) -> None:
        gate.wait(5)

    broker.actors.clear()
    dramatiq.actor(actor_name=ACTOR, queue_name=LANES, broker=broker)(wait)
    broker.echo.requeue = requeued.extend  # type: ignore[method-assign,assignment]
    broker.echo.messages = [message_with(n) for n in range(3)]
    worker = Worker(broker, worker_threads=1, worker_timeout=10)
    worker.start()
    wait_for(lambda: not broker.echo.messages)
    threading.Timer(0.1, gate.set).start()
    worker.stop(timeout=5000)
    assert len(requeued) >= 1
    assert not any(t.is_alive() for t in worker.workers)
    assert not any(t.is_alive() for t in worker.consumers.values())


def test_the_consumer_is_made_again_after_an_exception(
    lanes: tuple[EchoBroker, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So fetched messages must not be kept in the consumer, and it must not raise."""
    broker, _ = lanes
    made: list[int] = []

    class Broken(Echo):
        def __next__(self) -> MessageProxy | None:
            raise ConnectionClosed(OSError("gone"))  # type: ignore[no-untyped-call]

    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.01)

    def consume(**_: Any) -> Broken:
        made.append(1)
        return Broken([])

    monkeypatch.setattr(broker, "consume", consume)
    worker = Worker(broker, worker_threads=1, worker_timeout=10)
    worker.start()
    wait_for(lambda: len(made) >= 3)
    worker.stop(timeout=2000)


def test_the_signatures_we_call_are_these() -> None:
    assert list(inspect.signature(Worker.__init__).parameters) == [
        "self",
        "broker",
        "queues",
        "worker_timeout",
        "worker_threads",
    ]
    assert list(inspect.signature(Worker.stop).parameters) == ["self", "timeout"]
    assert list(inspect.signature(RedisBroker.consume).parameters) == [
        "self",
        "queue_name",
        "prefetch",
        "timeout",
    ]
    assert callable(ConsumerThread.post_process_message)


def test_our_broker_refuses_to_enqueue(lanes: tuple[EchoBroker, list[Any]]) -> None:
    with pytest.raises(RuntimeError, match="through the ledger"):
        lanes[0].enqueue(message_for(Publication(new_id(), QUEUE, 1)), delay=10)
    assert lanes[0].get_declared_queues() == {LANES}
    assert not lanes[0].delay_queues
