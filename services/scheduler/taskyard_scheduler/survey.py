"""`reconcile` by hand: one walk through all queued rows, with a second look at what seems to be missing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import redis
from sqlalchemy import Engine

from taskyard.broker.names import Names
from taskyard.broker.publisher import Publisher
from taskyard.domain.errors import BrokerUnavailable
from taskyard.domain.tasks import Publication
from taskyard.lifecycle.publish import delete
from taskyard.store import engine as ledger

from .inventory import PAGE, Inventory, Place


@dataclass(frozen=True, slots=True)
class QueueSurvey:
    """How many of a queue's tasks are queued, and how many of these Redis does not know though it should."""

    queue: str
    queued: int
    missing: int


@dataclass(frozen=True, slots=True)
class Survey:
    """`lost_everything`: the epoch key is gone, so the leader is about to publish all that is queued."""

    queues: list[QueueSurvey]
    missing: list[Publication]
    lost_everything: bool


def survey(
    engine: Engine,
    client: redis.Redis,
    names: Names,
    inventory: Inventory,
    *,
    queues: Sequence[str] = (),
    second_look_seconds: float = 2.0,
) -> Survey:
    """Changes nothing; `queues` are told of even where nothing waits in them.

    Raises LedgerUnavailable and BrokerUnavailable.
    """
    queued: Counter[str] = Counter()
    try:
        lost_everything = not client.exists(names.epoch)
        suspects: list[Publication] = []
        place: Place | None = Place()
        while place is not None:
            here = place
            page = ledger.run(engine, lambda conn: inventory.page(conn, here))  # noqa: B023 called at once
            queued[here.queue] += page.size
            suspects += inventory.unknown(page.old)
            place = page.next
        if suspects:
            time.sleep(second_look_seconds)
        unknown = inventory.unknown(suspects)
    except redis.RedisError as e:
        raise BrokerUnavailable(str(e)) from e
    missing: list[Publication] = []
    for start in range(0, len(unknown), PAGE):
        chunk = unknown[start : start + PAGE]
        missing += ledger.run(engine, lambda conn: inventory.still_queued(conn, chunk))  # noqa: B023
    lost = Counter(publication.queue for publication in missing)
    shown = dict.fromkeys((*queues, *(queue for queue in queued if queued[queue])))
    return Survey([QueueSurvey(q, queued[q], lost[q]) for q in shown], missing, lost_everything)


def publish_again(engine: Engine, publisher: Publisher, inventory: Inventory, missing: list[Publication]) -> int:
    """Publishes what a survey found missing and what still is; harmless next to the leader doing the same.

    Raises LedgerUnavailable and BrokerUnavailable.
    """
    published = 0
    for start in range(0, len(missing), PAGE):
        chunk = missing[start : start + PAGE]
        found, outbox_id = ledger.run(engine, lambda conn: inventory.box(conn, chunk))  # noqa: B023
        published += publisher.publish(found)
        if outbox_id is not None:
            ids = [outbox_id]
            ledger.run(engine, lambda conn: delete(conn, ids))  # noqa: B023
    return published
