"""The only message of the platform: a task id."""

from __future__ import annotations

from uuid import UUID

import orjson

from ..domain.ids import read_id
from ..domain.tasks import Publication
from .names import ACTOR


def encoded(publication: Publication, message_id: str, timestamp_ms: int) -> bytes:
    """What Dramatiq's own encoder makes of the message that announces a queued task, ten times faster, because submits
    wait for it. `message_id` is the publication's: it is the Redis id, too, so that acknowledging one publication never
    deletes the payload of the next.
    """
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
        return read_id(task_id), str(fields["options"]["redis_message_id"])
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"not a message of ours: {payload[:200]!r}") from e
