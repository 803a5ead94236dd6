"""The publisher's encoder writes what Dramatiq would write."""

from typing import Any
from uuid import UUID

import pytest

from taskyard.broker.messages import encoded, packed
from taskyard.broker.packing import Packed, Packer
from taskyard.domain.tasks import Publication
from tests.support.messages import message_for


def test_the_bytes_are_those_of_dramatiqs_own_encoder() -> None:
    publication = Publication(UUID(int=7), "queue_ü", 3)
    message = message_for(publication)
    written = encoded(publication, message.message_timestamp)
    assert type(message).decode(written) == message
    plain = Publication(UUID(int=7), "default", 3)
    message = message_for(plain)
    assert encoded(plain, message.message_timestamp) == message.encode()


@pytest.mark.parametrize("queue", ["default", "queue_ü", "100 %b"])
@pytest.mark.parametrize("count", [1, 3])
def test_many_messages_are_packed_as_redis_py_packs_each(queue: str, count: int) -> None:
    wanted = [Publication(UUID(int=7 + n), queue, 10**n) for n in range(count)]
    messages = packed(queue, wanted, 5)
    packer: Any = Packer()
    pairs = [text for p in wanted for text in (p.message_id, encoded(p, 5))]
    theirs = packer.pack("HSET", queue, *pairs)
    ours = packer.pack("HSET", queue, Packed(2 * count, b"".join(messages.values())))
    assert b"".join(ours) == b"".join(theirs)
    assert [i.decode() for i in messages] == [p.message_id for p in wanted]


def test_a_publication_that_comes_twice_is_packed_once() -> None:
    once = Publication(UUID(int=7), "default", 3)
    assert len(packed("default", [once, once], 5)) == 1
