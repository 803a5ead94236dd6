"""Publishing: any number of queued tasks in one pipelined round trip, with the wake-ups of idle workers."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
import redis

from ..domain.errors import BrokerFull, BrokerUnavailable
from ..domain.tasks import Change, Publication
from .connect import PUBLISH_TIMEOUT, make_redis
from .messages import packed
from .names import Names
from .packing import Packed

# Enough tokens to wake every idle child of a large fleet. More would be left over, and wake children for nothing.
WAKE_TOKENS = 64
# Removes messages: their payloads, and ids without one from the head of the queue. The order there is nearly that of
# the tasks, so the oldest stand first; an id further behind is skipped by who fetches it.
_WITHDRAW = """
for i = 1, #ARGV do redis.call('hdel', KEYS[2], ARGV[i]) end
local kept = {}
for i = 1, 2 * #ARGV do
    local id = redis.call('lpop', KEYS[1])
    if not id then break end
    if redis.call('hexists', KEYS[2], id) == 1 then kept[#kept + 1] = id end
end
for i = #kept, 1, -1 do redis.call('lpush', KEYS[1], kept[i]) end
"""
NO_HINTS: Mapping[str, Sequence[UUID | str]] = {}
# After changes that nobody received, further ones are left out for so long. Who subscribes asks the ledger once more
# after this time (`taskyard_api.live`).
UNWATCHED_SECONDS = 0.25


class Publisher:
    """Writes what Dramatiq's `enqueue` writes (HSET of the payload, RPUSH of its id; a contract test compares the two),
    for many messages at once. What was given back does not wait a second time: its id goes to the head (LPUSH).

    All or nothing: a payload without its id, after a broken connection or from a truncated append-only file, would look
    like a waiting message. `client` is one of `make_redis`, which packs a queue's messages at once.
    """

    def __init__(self, client: redis.Redis, names: Names) -> None:
        self.client = client
        self.names = names
        self._unwatched_until = 0.0

    @property
    def is_unwatched(self) -> bool:
        """Whether changes are left out at this moment, because a moment ago nobody received any."""
        return time.monotonic() < self._unwatched_until

    def publish(
        self,
        publications: Iterable[Publication],
        changes: Sequence[Change] = (),
        *,
        withdrawn: Iterable[Publication] = (),
        wake_scheduler: bool = False,
        hints: Mapping[str, Sequence[UUID | str]] = NO_HINTS,
    ) -> int:
        """Announces the tasks and publishes the changes, where somebody watches; returns how many messages were sent.
        Idempotent.

        `withdrawn`: tasks whose messages are removed, because they may not run yet.
        `wake_scheduler`: a task was scheduled for later, possibly before the time for which the scheduler sleeps.
        `hints` to workers, by their names: `cancel`, running tasks for which a cancellation request is to be looked
        for now; `resume`, queues that are no longer paused and are to be fetched from again; `recall`, queues of which
        claims that have not begun are to be given back; `workers`, those that should look what is asked of them.

        Raises BrokerUnavailable, as BrokerFull where Redis answers so.
        """
        by_queue, taken = _by_queue(publications), _by_queue(withdrawn)
        told = {name: list(ids) for name, ids in hints.items() if ids}
        if self.is_unwatched:
            changes = ()
        if not (by_queue or taken or changes or wake_scheduler or told):
            return 0
        now_ms = int(time.time() * 1000)
        pipe = self.client.pipeline(transaction=True)
        if changes:
            pipe.publish(self.names.events, encode_changes(changes))
        for queue, gone in taken.items():
            keys = self.names.queue(queue), self.names.messages(queue)
            pipe.eval(_WITHDRAW, len(keys), *keys, *(p.message_id.encode() for p in gone))
        for queue, wanted in by_queue.items():
            self._push(pipe, queue, wanted, now_ms)
        for name, ids in told.items():
            pipe.publish(self.names.control, orjson.dumps({name: ids}))
        if wake_scheduler:
            pipe.lpush(self.names.wake_scheduler, "1")
            pipe.ltrim(self.names.wake_scheduler, 0, 0)
        try:
            answers = pipe.execute()
        except redis.OutOfMemoryError as e:
            raise BrokerFull(str(e)) from e
        except redis.RedisError as e:
            raise BrokerUnavailable(str(e)) from e
        if changes and not answers[0]:
            self._unwatched_until = time.monotonic() + UNWATCHED_SECONDS
        return sum(len(wanted) for wanted in by_queue.values())

    def _push(self, pipe: Any, queue: str, wanted: Sequence[Publication], now_ms: int) -> None:
        messages = packed(queue, wanted, now_ms)
        pipe.execute_command("HSET", self.names.messages(queue), Packed(2 * len(messages), b"".join(messages.values())))
        first = dict.fromkeys(p.message_id.encode() for p in wanted if p.is_first)
        if first:
            pipe.lpush(self.names.queue(queue), *reversed(first))
        if last := [i for i in messages if i not in first] if first else messages:
            ids = b"".join([b"$%d\r\n%b\r\n" % (len(i), i) for i in last])
            pipe.execute_command("RPUSH", self.names.queue(queue), Packed(len(last), ids))
        pipe.lpush(self.names.wake(queue), *([b"1"] * min(len(wanted), WAKE_TOKENS)))
        pipe.ltrim(self.names.wake(queue), 0, WAKE_TOKENS - 1)

    def announce_types(self) -> None:
        """Says that the registry of task types has changed. A lost message costs some seconds: its readers look by
        themselves, too.

        Raises BrokerUnavailable.
        """
        try:
            self.client.publish(self.names.types, "1")
        except redis.RedisError as e:
            raise BrokerUnavailable(str(e)) from e


def make_publisher(url: str, names: Names) -> Publisher:
    """A publisher with its own client, which gives up soon: a slow Redis must not hold up its callers."""
    client = make_redis(url, socket_timeout=PUBLISH_TIMEOUT, connect_timeout=PUBLISH_TIMEOUT, max_connections=4)
    return Publisher(client, names)


def _by_queue(publications: Iterable[Publication]) -> dict[str, list[Publication]]:
    found: dict[str, list[Publication]] = defaultdict(list)
    for publication in publications:
        found[publication.queue].append(publication)
    return found


def encode_changes(changes: Sequence[Change]) -> bytes:
    """The message of the live channel: a JSON array of objects with the fields of `Change`."""
    return orjson.dumps(changes)
