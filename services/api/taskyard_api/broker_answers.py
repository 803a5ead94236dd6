"""The answer about the broker, beside answers.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from taskyard.store.fleet import MOST_WAITING

from .answers import Shown


class BrokerServer(Shown):
    """What the server tells of itself; a hosted one may keep it back."""

    name: str = Field(description="`redis` or `valkey`.")
    version: str
    mode: str = Field(description="`standalone`, `sentinel` or `cluster`.")
    uptime_seconds: int
    used_bytes: int = Field(description="What counts against `max_bytes`.")
    max_bytes: int | None = Field(description="Null: no limit but that of the machine.")
    eviction_policy: str = Field(description="Any but `noeviction` drops queued work where memory is short.")
    evicted_keys: int = Field(description="Since it started.")
    clients: int
    max_clients: int | None


class BrokerQueue(Shown):
    name: str
    queued: int = Field(description="Messages that no worker has fetched.")
    unacknowledged: int = Field(description="Messages that a worker has fetched and not yet claimed.")


class BrokerOutbox(Shown):
    pending: int = Field(description=f"Of each outbox up to {MOST_WAITING:,}.")
    oldest_at: datetime | None


class Broker(Shown):
    status: Literal["up", "away"]
    reason: str | None = Field(description="Why nothing is known of it, in words.")
    latency_ms: float | None
    server: BrokerServer | None
    queues: list[BrokerQueue] = Field(
        description="Redis holds what workers may claim now. What is due later, runs or has failed is in the ledger."
    )
    outbox: BrokerOutbox | None = Field(
        description="Submits that are committed and not yet published; null for keys that are restricted to queues."
    )
