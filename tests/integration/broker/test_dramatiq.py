"""What the platform relies on in Dramatiq 2.2.1's layout of Redis.

A newer version has to keep these promises, or the code that relies on them has to change with it.
"""

from __future__ import annotations

import importlib.metadata
import json
from typing import Any
from uuid import UUID

import pytest
import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from taskyard.broker.messages import decode, encoded
from taskyard.broker.names import ACTOR, Names
from taskyard.broker.publisher import Publisher
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Publication
from tests.support.messages import message_for

QUEUE = "default"


def stock(client: redis.Redis, names: Names, **options: Any) -> RedisBroker:
    options = {"maintenance_chance": 0, **options}
    return RedisBroker(client=client, namespace=names.namespace, middleware=[], **options)  # type: ignore[no-untyped-call]


@pytest.fixture
def broker(client: redis.Redis, names: Names) -> RedisBroker:
    return stock(client, names)


def publication(number: int = 1, task_id: UUID | None = None) -> Publication:
    return Publication(task_id or new_id(), QUEUE, number)


def keys(client: redis.Redis) -> dict[str, str]:
    """Every key with its type, except wake-ups and the heartbeat, which Dramatiq's enqueue touches."""
    found: Any = client.keys("*")
    return {k.decode(): str(client.type(k)) for k in found if b":wake" not in k and not k.endswith(b"__heartbeats__")}


def test_the_version_is_the_one_that_was_tried() -> None:
    assert importlib.metadata.version("dramatiq") == "2.2.1"


def test_publishing_writes_what_enqueue_writes(
    client: redis.Redis, names: Names, broker: RedisBroker, publisher: Publisher
) -> None:
    wanted = publication()
    broker.declare_queue(QUEUE)
    sent = broker.enqueue(message_for(wanted))
    theirs, id_of_theirs = keys(client), sent.options["redis_message_id"]
    (their_payload,) = client.hvals(names.messages(QUEUE))
    assert client.lrange(names.queue(QUEUE), 0, -1) == [id_of_theirs.encode()]
    client.flushdb()

    publisher.publish([wanted])
    assert keys(client) == theirs
    assert client.lrange(names.queue(QUEUE), 0, -1) == [wanted.message_id.encode()]
    our_payload: Any = client.hget(names.messages(QUEUE), wanted.message_id)
    ours, their = json.loads(our_payload), json.loads(their_payload)
    # Only the time and the id in Redis differ: enqueue makes a random id.
    assert ours.pop("options") == {"redis_message_id": wanted.message_id}
    assert their.pop("options") == {"redis_message_id": id_of_theirs}
    ours.pop("message_timestamp"), their.pop("message_timestamp")
    assert ours == their


def test_a_message_carries_a_task_id_and_nothing_else() -> None:
    announced = publication()
    message = json.loads(encoded(announced, 0))
    assert set(message) == {
        "queue_name",
        "actor_name",
        "args",
        "kwargs",
        "options",
        "message_id",
        "message_timestamp",
    }
    assert message["kwargs"] == {}
    assert len(message["args"]) == 1
    assert (message["actor_name"], message["queue_name"]) == (ACTOR, QUEUE)


def test_a_stock_consumer_gets_what_was_published_in_order(
    client: redis.Redis, names: Names, broker: RedisBroker, publisher: Publisher
) -> None:
    wanted = [publication() for _ in range(5)]
    publisher.publish(wanted)
    consumer = broker.consume(QUEUE, prefetch=5, timeout=10)
    for expected in wanted:
        message = next(consumer)
        assert message is not None
        assert message.args == (str(expected.task_id),)
        assert message.options["redis_message_id"] == expected.message_id
        consumer.ack(message)
    assert not client.exists(names.messages(QUEUE), names.queue(QUEUE), names.acks(broker.broker_id, QUEUE))


def test_our_reading_of_a_message_agrees_with_dramatiqs() -> None:
    wanted = publication(7)
    payload = message_for(wanted).encode()
    message: Message[Any] = Message.decode(payload)
    assert decode(payload) == (wanted.task_id, wanted.message_id)
    assert (message.args[0], message.options["redis_message_id"]) == (str(wanted.task_id), wanted.message_id)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"args": []}',
        b'{"args": [1], "options": {}}',
        b'{"args": ["no-uuid"], "options": {"redis_message_id": "x"}}',
        b'{"args": [null, 2]}',
        b"[" * 100_000,
    ],
    ids=lambda payload: repr(payload[:40]),
)
def test_a_foreign_message_raises_one_kind_of_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not a message of ours"):
        decode(payload)


def test_a_fetch_moves_ids_into_the_set_of_what_is_to_be_acknowledged(
    client: redis.Redis, names: Names, broker: RedisBroker, publisher: Publisher
) -> None:
    wanted = [publication() for _ in range(3)]
    publisher.publish(wanted)
    payloads = broker.do_fetch(QUEUE, 2)
    assert [decode(p)[0] for p in payloads] == [w.task_id for w in wanted[:2]]
    assert client.smembers(names.acks(broker.broker_id, QUEUE)) == {w.message_id.encode() for w in wanted[:2]}
    assert client.llen(names.queue(QUEUE)) == 1
    assert client.hlen(names.messages(QUEUE)) == 3, "the payload stays until it is acknowledged"


def test_an_acknowledgement_deletes_the_payload_once_and_only_of_what_was_fetched(
    client: redis.Redis, names: Names, broker: RedisBroker, publisher: Publisher
) -> None:
    wanted = publication()
    publisher.publish([wanted])
    broker.do_ack(QUEUE, wanted.message_id)
    assert client.hlen(names.messages(QUEUE)) == 1, "it had not been fetched"
    broker.do_fetch(QUEUE, 1)
    broker.do_ack(QUEUE, wanted.message_id)
    broker.do_ack(QUEUE, wanted.message_id)
    assert not client.exists(names.messages(QUEUE), names.acks(broker.broker_id, QUEUE))


def test_acknowledging_one_publication_leaves_the_next_one_alone(
    client: redis.Redis, names: Names, broker: RedisBroker, publisher: Publisher
) -> None:
    first = publication(1)
    second = publication(2, first.task_id)
    publisher.publish([first])
    broker.do_fetch(QUEUE, 1)
    publisher.publish([second])
    broker.do_ack(QUEUE, first.message_id)
    (payload,) = broker.do_fetch(QUEUE, 1)
    assert decode(payload) == (first.task_id, second.message_id)


def test_a_requeue_puts_back_what_was_fetched_and_still_has_a_payload(
    client: redis.Redis, names: Names, broker: RedisBroker, publisher: Publisher
) -> None:
    wanted = [publication() for _ in range(3)]
    publisher.publish(wanted)
    broker.do_fetch(QUEUE, 2)
    client.hdel(names.messages(QUEUE), wanted[1].message_id)
    broker.do_requeue(QUEUE, *(w.message_id for w in wanted))
    assert client.lrange(names.queue(QUEUE), 0, -1) == [
        wanted[2].message_id.encode(),
        wanted[0].message_id.encode(),
    ]
    assert client.scard(names.acks(broker.broker_id, QUEUE)) == 0


def test_an_id_without_a_payload_is_fetched_as_none(
    client: redis.Redis, names: Names, broker: RedisBroker, publisher: Publisher
) -> None:
    """As after a task was delivered twice and acknowledged once."""
    wanted = publication()
    publisher.publish([wanted])
    client.rpush(names.queue(QUEUE), wanted.message_id)
    broker.do_fetch(QUEUE, 1)
    broker.do_ack(QUEUE, wanted.message_id)
    assert broker.do_fetch(QUEUE, 1) == [None]
    assert broker.do_fetch(QUEUE, 1) == []


def test_a_fetch_of_many_is_capped_by_the_script_and_never_fails(broker: RedisBroker, publisher: Publisher) -> None:
    publisher.publish([publication() for _ in range(300)])
    assert len(broker.do_fetch(QUEUE, 100_000)) == 300


def test_a_server_that_forgot_the_scripts_is_given_them_again(
    client: redis.Redis, broker: RedisBroker, publisher: Publisher
) -> None:
    publisher.publish([publication()])
    assert broker.do_qsize(QUEUE) == 1
    client.script_flush()
    assert len(broker.do_fetch(QUEUE, 1)) == 1


def test_maintenance_returns_what_a_dead_process_had_fetched(
    client: redis.Redis, names: Names, publisher: Publisher
) -> None:
    dead, leader = stock(client, names), stock(client, names, maintenance_chance=1_000_000)
    publisher.publish([publication() for _ in range(3)])
    assert len(dead.do_fetch(QUEUE, 3)) == 3
    leader.do_qsize(QUEUE)
    assert client.llen(names.queue(QUEUE)) == 0, "it may still be alive"
    client.zadd(f"{names.namespace}:__heartbeats__", {dead.broker_id: 0})
    leader.do_qsize("another")
    assert client.llen(names.queue(QUEUE)) == 0, "each queue is looked after by a command on it"
    leader.do_qsize(QUEUE)
    assert client.llen(names.queue(QUEUE)) == 3
    assert not client.exists(names.acks(dead.broker_id, QUEUE))


def test_a_broker_without_maintenance_leaves_it_to_others(
    client: redis.Redis, names: Names, publisher: Publisher
) -> None:
    dead, worker = stock(client, names), stock(client, names)
    publisher.publish([publication()])
    dead.do_fetch(QUEUE, 1)
    client.zadd(f"{names.namespace}:__heartbeats__", {dead.broker_id: 0})
    for _ in range(50):
        assert worker.do_fetch(QUEUE, 1) == []


def test_every_command_but_none_other_counts_as_a_heartbeat(
    client: redis.Redis, names: Names, broker: RedisBroker
) -> None:
    heartbeats = f"{names.namespace}:__heartbeats__"
    for command in (broker.do_fetch, broker.do_qsize):
        client.delete(heartbeats)
        command(QUEUE, 1)
        assert client.zscore(heartbeats, broker.broker_id) is not None
