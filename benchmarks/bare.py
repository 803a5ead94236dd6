"""Bare Dramatiq: `dramatiq benchmarks.bare` runs these actors against BENCH_REDIS_URL."""

from __future__ import annotations

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend

NAMESPACE = "bare"
LATENCIES = "bare-latencies"
ENDS = "bare-ends"

broker = RedisBroker(url=os.environ["BENCH_REDIS_URL"], namespace=NAMESPACE)  # type: ignore[no-untyped-call]
broker.add_middleware(GroupCallbacks(RedisBackend(url=os.environ["BENCH_REDIS_URL"])))
dramatiq.set_broker(broker)


@dramatiq.actor
def echo(value: object) -> None:
    """Does nothing, as `diagnostics.echo` does."""


@dramatiq.actor
def stamp(sent: float) -> None:
    """Says how long it took to begin, in seconds."""
    broker.client.rpush(LATENCIES, time.time() - sent)


@dramatiq.actor
def link(value: object) -> int:
    """One of a pipeline."""
    return 1


@dramatiq.actor
def end(*values: object) -> None:
    """Says when the end of a group or of a pipeline came."""
    broker.client.rpush(ENDS, time.time())
