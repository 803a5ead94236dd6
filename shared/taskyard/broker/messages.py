"""The one message of the platform: a task id."""

from __future__ import annotations

import time
from uuid import UUID

from dramatiq import Message

from ..domain.tasks import Publication
from .names import ACTOR


def message_for(publication: Publication) -> Message[None]:
    """The message that announces a queued task. Its Redis id carries the publication number, so that acknowledging
    one publication never deletes the payload of the next."""
    return Message(
        queue_name=publication.queue,
        actor_name=ACTOR,
        args=(str(publication.task_id),),
        kwargs={},
        options={"redis_message_id": publication.message_id},
        message_id=publication.message_id,
        message_timestamp=int(time.time() * 1000),
    )


def task_id_of(message: Message[None]) -> UUID:
    """The task a message announces. Raises ValueError where it is not one of ours."""
    if len(message.args) != 1:
        raise ValueError(f"a message with {len(message.args)} arguments is not one of ours")
    return UUID(str(message.args[0]))
