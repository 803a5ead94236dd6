"""Messages as Dramatiq itself makes them, to compare ours with."""

from __future__ import annotations

import time

from dramatiq import Message

from taskyard.broker.names import ACTOR
from taskyard.domain.tasks import Publication


def message_for(publication: Publication) -> Message[None]:
    """The message that announces a queued task."""
    return Message(
        queue_name=publication.queue,
        actor_name=ACTOR,
        args=(str(publication.task_id),),
        kwargs={},
        options={"redis_message_id": publication.message_id},
        message_id=publication.message_id,
        message_timestamp=int(time.time() * 1000),
    )
