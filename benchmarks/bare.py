"""Bare Dramatiq: `dramatiq benchmarks.bare` runs these actors against BENCH_REDIS_URL."""

from __future__ import annotations

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

NAMESPACE = "bare"
LATENCIES = "bare-latencies"

broker = RedisBroker(url=os.environ["BENCH_REDIS_URL"], namespace=NAMESPACE)
dramatiq.set_broker(broker)


@dramatiq.actor
def echo(value: object) -> None:
    """Does nothing, as `diagnostics.echo` does."""


@dramatiq.actor
def stamp(sent: float) -> None:
    """Says how long it took to begin, in seconds."""
    broker.client.rpush(LATENCIES, time.time() - sent)
