"""Clients of Redis, every one with time-outs and a bounded pool."""

from __future__ import annotations

from datetime import timedelta

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# Of whoever publishes: what waits for a slow Redis is only the announcement, and the relay makes up for it.
PUBLISH_TIMEOUT = timedelta(milliseconds=500)


def make_redis(
    url: str,
    *,
    socket_timeout: timedelta = timedelta(seconds=5),
    connect_timeout: timedelta = timedelta(seconds=2),
    max_connections: int = 50,
) -> redis.Redis:
    """A client that fails fast: retrying is for the loops that use it, which know what they may repeat.

    `health_check_interval` makes it notice a connection that a firewall dropped silently.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=socket_timeout.total_seconds(),
        socket_connect_timeout=connect_timeout.total_seconds(),
        socket_keepalive=True,
        health_check_interval=15,
        max_connections=max_connections,
        retry=Retry(NoBackoff(), 0),
    )
