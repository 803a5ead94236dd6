"""How a task waits for a limit, in words."""

from __future__ import annotations

from taskyard.domain.messages import Message, message
from taskyard.lifecycle.limit_holders import HeldLimit


def limit_told(limit: HeldLimit) -> Message:
    return _of_queue(limit) if limit.key is None else _of_key(limit, limit.key)


def _of_key(limit: HeldLimit, key: str) -> Message:
    if limit.is_full:
        return message("It waits for its limit {key}, which other tasks use up.", key=key)
    if limit.per_second is not None:
        return message(
            "Its limit {key} lets {rate} tasks a second begin, and its turn has not come.",
            key=key,
            rate=f"{limit.per_second:g}",
        )
    return message("The scheduler has yet to see whether its limit {key} has room for it.", key=key)


def _of_queue(limit: HeldLimit) -> Message:
    queue = limit.queue or ""
    if limit.is_full:
        return message("It waits for the limit of its queue {queue}, which other tasks use up.", queue=queue)
    if limit.per_second is not None:
        return message(
            "The limit of its queue {queue} lets {rate} tasks a second begin, and its turn has not come.",
            queue=queue,
            rate=f"{limit.per_second:g}",
        )
    return message("The scheduler has yet to see whether the limit of its queue {queue} has room for it.", queue=queue)
