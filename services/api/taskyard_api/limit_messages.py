"""How a task waits for a limit, in words."""

from __future__ import annotations

from taskyard.domain.messages import Message, message
from taskyard.lifecycle.limit_holders import HeldLimit

from .reasons_of_runs import whole


def limit_told(limit: HeldLimit, *, leads: bool, is_paused: bool) -> Message:
    """`leads`: whether a scheduler does; `is_paused`: whether the queue of the task is, in which none is granted."""
    if limit.key is None:
        return _of_queue(limit, leads, is_paused)
    return _of_key(limit, limit.key, leads, is_paused)


def _of_key(limit: HeldLimit, key: str, leads: bool, is_paused: bool) -> Message:
    if limit.is_full or limit.per_second is not None:
        return _in_turn(limit, key)
    if is_paused:
        return message(
            "Once its queue is resumed, the scheduler sees whether its limit {key} has room for it.", key=key
        )
    if not leads:
        return message("A scheduler has to see whether its limit {key} has room for it.", key=key)
    return message("The scheduler has yet to see whether its limit {key} has room for it.", key=key)


def _in_turn(limit: HeldLimit, key: str) -> Message:
    """Of a key that has no room at this moment."""
    n, rate, seconds = limit.position, limit.per_second, limit.earliest_in_seconds
    if limit.is_full and n is not None:
        return message(
            "It waits for its limit {key}, which other tasks use up. Of those of its queue that wait for it, it is"
            " number {n}.",
            key=key,
            n=n,
        )
    if limit.is_full or rate is None:
        return message("It waits for its limit {key}, which other tasks use up.", key=key)
    if n is not None and seconds is not None:
        return message(
            "Its limit {key} lets {rate} tasks a second begin. Of those of its queue that wait for it, it is number"
            " {n}: its turn comes in {seconds} s at the earliest.",
            key=key,
            rate=f"{rate:g}",
            n=n,
            seconds=whole(seconds),
        )
    return message(
        "Its limit {key} lets {rate} tasks a second begin, and its turn has not come.", key=key, rate=f"{rate:g}"
    )


def _of_queue(limit: HeldLimit, leads: bool, is_paused: bool) -> Message:
    queue = limit.queue or ""
    if limit.is_full:
        return message("It waits for the limit of its queue {queue}, which other tasks use up.", queue=queue)
    if limit.per_second is not None:
        return message(
            "The limit of its queue {queue} lets {rate} tasks a second begin, and its turn has not come.",
            queue=queue,
            rate=f"{limit.per_second:g}",
        )
    if is_paused:
        return message(
            "Once the queue {queue} is resumed, the scheduler sees whether its limit has room for it.", queue=queue
        )
    if not leads:
        return message("A scheduler has to see whether the limit of its queue {queue} has room for it.", queue=queue)
    return message("The scheduler has yet to see whether the limit of its queue {queue} has room for it.", queue=queue)
