"""What Redis holds that belongs to nothing."""

from __future__ import annotations

import redis

# Of the whole, not of any task: the mark of a Redis that knows everything, who asked for messages lately, tokens.
_STANDING = (b"taskyard:epoch", b"taskyard:__heartbeats__", b"taskyard:wake-scheduler", b"taskyard:wake:")


def leftovers(client: redis.Redis) -> list[bytes]:
    """The keys that should be gone once every task is final; what goes by itself soon is not among them."""
    return sorted(
        key for key in client.scan_iter(count=1000) if not key.startswith(_STANDING) and client.ttl(key) == -1
    )
