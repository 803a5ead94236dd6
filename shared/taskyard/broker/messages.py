"""The only message of the platform: a task id."""

from __future__ import annotations

import time
from uuid import UUID

import orjson
from dramatiq import Message

from ..domain.tasks import Publication
from .names import ACTOR


def message_for(publication: Publication) -> Message[None]:
    """The message that announces a queued task. Its Redis id carries the publication number, so that
    acknowledging one publication never deletes the payload of the next.
    """
    return Message(
        queue_name=publication.queue,
        actor_name=ACTOR,
        args=(str(publication.task_id),),
        kwargs={},
        options={"redis_message_id": publication.message_id},
        message_id=publication.message_id,
        message_timestamp=int(time.time() * 1000),
    )


def encoded(publication: Publication, message_id: str, timestamp_ms: int) -> bytes:
    """The bytes of `message_for`, ten times faster, because submits wait for it. `message_id` is the publication's."""
    return orjson.dumps(
        {
            "queue_name": publication.queue,
            "actor_name": ACTOR,
            "args": (publication.task_id,),
            "kwargs": {},
            "options": {"redis_message_id": message_id},
            "message_id": message_id,
            "message_timestamp": timestamp_ms,
        }
    )


def decode(payload: bytes) -> tuple[UUID, str]:
    """The task id and the Redis id of an encoded message.

    Parses the JSON of Dramatiq's encoder directly, for speed: every task passes here. Raises ValueError.
    """
    try:
        fields = orjson.loads(payload)
        (task_id,) = fields["args"]
        return UUID(task_id), str(fields["options"]["redis_message_id"])
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"not a message of ours: {payload[:200]!r}") from e
