"""Clients of Redis, all with time-outs and bounded pools.

An address names one server (`redis://`, `unix://`, `rediss://` with TLS), or the Sentinels that know it
(`redis+sentinel://`, `rediss+sentinel://`: addresses.py). Its query holds the TLS files under redis-py's names;
`Settings` puts them there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelPool
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from ..addresses import SentinelURL, parse_sentinel_url
from .packing import Packer

# Publishers give up soon: only the announcement is late then, and the relay makes up for it.
PUBLISH_TIMEOUT = timedelta(milliseconds=500)
_SENTINEL_TIMEOUT_SECONDS = 0.5
# redis-py has no types for these.
_SENTINEL: Any = Sentinel
_ASYNC_SENTINEL: Any = AsyncSentinel
_parse_url: Any = parse_url


def make_redis(
    url: str,
    *,
    socket_timeout: timedelta = timedelta(seconds=5),
    connect_timeout: timedelta = timedelta(seconds=2),
    max_connections: int = 50,
) -> redis.Redis:
    """A client that fails fast. The loops that use it retry, because they know what may be repeated.

    `health_check_interval` detects connections that a firewall dropped silently.
    """
    options: dict[str, Any] = {
        "socket_timeout": socket_timeout.total_seconds(),
        "socket_connect_timeout": connect_timeout.total_seconds(),
        "socket_keepalive": True,
        "health_check_interval": 15,
        "max_connections": max_connections,
        "retry": Retry(NoBackoff(), 0),
        "command_packer": Packer(),
        # At each connection a command less, and what it takes to find the version of redis-py in its metadata.
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),  # of Redis Enterprise
    }
    if (where := parse_sentinel_url(url)) is not None:
        server, sentinel = _split(where)
        sentinel["retry"] = Retry(NoBackoff(), 0)  # the next Sentinel at once, not this one for ten seconds
        client: redis.Redis = _SENTINEL(where.sentinels, sentinel_kwargs=sentinel).master_for(
            where.service, connection_pool_class=_SentinelPool, **server, **options
        )
        return client
    if not url.startswith("unix:"):
        options["connection_class"] = _FreshSSLConnection if url.startswith("rediss:") else _FreshConnection
    return redis.Redis.from_url(url, **options)


def make_async_redis(url: str, *, max_connections: int) -> redis.asyncio.Redis:
    """A client for the event loop of the API, which only listens and pings."""
    options: dict[str, Any] = {
        "socket_connect_timeout": 2,
        "socket_timeout": 10,
        "socket_keepalive": True,
        "max_connections": max_connections,
        "retry": AsyncRetry(NoBackoff(), 0),
    }
    if (where := parse_sentinel_url(url)) is not None:
        server, sentinel = _split(where)
        sentinel["retry"] = AsyncRetry(NoBackoff(), 0)
        client: redis.asyncio.Redis = _ASYNC_SENTINEL(list(where.sentinels), sentinel_kwargs=sentinel).master_for(
            where.service, connection_pool_class=_AsyncSentinelPool, **server, **options
        )
        return client
    return redis.asyncio.Redis.from_url(url, **options)


class _FreshConnection(redis.Connection):
    """Closes itself where the server has become a replica: after a failover behind one name, the next connection
    reaches the new master."""

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)
        except redis.ReadOnlyError as e:
            self.disconnect()  # type: ignore[no-untyped-call]
            # As redis-py does for Sentinels: a pipeline must stop reading.
            raise redis.ConnectionError(f"the server is a replica: {e}") from e


class _FreshSSLConnection(_FreshConnection, redis.SSLConnection):
    pass


class _SentinelPool(SentinelConnectionPool):
    """Closes its connections to the Sentinels together with its client."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                sentinel.connection_pool.disconnect()


class _AsyncSentinelPool(AsyncSentinelPool):
    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.connection_pool.disconnect()


def _split(where: SentinelURL) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of connections to servers, and of those to Sentinels."""
    server: dict[str, Any] = _parse_url(where.server_url)
    sentinel: dict[str, Any] = {
        "socket_timeout": _SENTINEL_TIMEOUT_SECONDS,
        "socket_connect_timeout": _SENTINEL_TIMEOUT_SECONDS,
        **{name: value for name, value in server.items() if name.startswith("ssl_")},
    }
    if password := server.pop("sentinel_password", None):
        sentinel["password"] = password
    if server.pop("connection_class", None) is not None:
        server["ssl"] = sentinel["ssl"] = True
    return server, sentinel
