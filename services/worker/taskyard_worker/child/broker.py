"""Dramatiq, as far as a child uses it: a `Worker` with M threads and one consumer, which is ours.

Dramatiq starts a thread that iterates over what the broker's `consume` returns for its one declared queue, `lanes`,
which exists in this process only. It puts each message on the work queue of the threads. A message here names no task:
it calls a thread to the claims that wait in the claim table. The consumer behind that iterator outlives it, because
Dramatiq makes a new iterator after an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dramatiq import Broker, Consumer, Message, MessageProxy

from taskyard.broker.names import ACTOR, LANES


class ChildBroker(Broker):
    """A broker without a server: messages come from `next_message` of the child's consumer only."""

    def __init__(self, next_message: Callable[[], MessageProxy | None]) -> None:
        super().__init__(middleware=[])
        self._next_message = next_message

    def declare_queue(self, queue_name: str) -> None:
        """Without a delay queue: the ledger keeps delays. No middleware has to hear of it."""
        self.queues[queue_name] = None

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> Consumer:
        return SourceConsumer(self._next_message)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        raise RuntimeError("tasks are submitted through the ledger, never enqueued here")


class SourceConsumer(Consumer):
    """What Dramatiq iterates over. It acknowledges nothing: that happened at the claim."""

    def __init__(self, next_message: Callable[[], MessageProxy | None]) -> None:
        self._next_message = next_message

    def __next__(self) -> MessageProxy | None:
        return self._next_message()

    def ack(self, message: MessageProxy) -> None:
        pass

    def nack(self, message: MessageProxy) -> None:
        pass

    def requeue(self, messages: Any) -> None:
        """Claims that no thread took are released through the writer (`ClaimTable.give_back`)."""


def call() -> MessageProxy:
    """The message that calls one of Dramatiq's threads. It never leaves this process."""
    return MessageProxy(Message(queue_name=LANES, actor_name=ACTOR, args=(), kwargs={}, options={}))
