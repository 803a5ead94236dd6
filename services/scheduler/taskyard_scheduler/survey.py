"""`reconcile` by hand: one walk through all queued rows, with a second look at what seems to be missing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import redis
from sqlalchemy import Engine

from taskyard.broker.names import Names
from taskyard.broker.publisher import Publisher
from taskyard.domain.errors import BrokerUnavailable
from taskyard.domain.tasks import Publication
from taskyard.lifecycle.publish import delete
from taskyard.store import ledger

from .inventory import PAGE, Inventory, Place

# The second look is taken at so many at once: a million that are missing must not fill the memory.
_SUSPECTS = 10_000
_NAMED = 1000


@dataclass(frozen=True, slots=True)
class QueueSurvey:
    """How many of a queue's tasks are queued, and how many of these Redis does not know though it should."""

    queue: str
    queued: int
    missing: int


@dataclass(frozen=True, slots=True)
class Survey:
    """`lost_everything`: the epoch key is gone, so the leader is about to publish all that is queued. `named` are
    the first of the missing."""

    queues: list[QueueSurvey]
    named: list[UUID]
    published: int
    lost_everything: bool

    @property
    def missing(self) -> int:
        return sum(queue.missing for queue in self.queues)


def survey(
    engine: Engine,
    client: redis.Redis,
    names: Names,
    inventory: Inventory,
    *,
    queues: Sequence[str] = (),
    publish: Callable[[list[Publication]], int] | None = None,
    second_look_seconds: float = 2.0,
) -> Survey:
    """Without `publish` it changes nothing; `queues` are told of even where nothing waits in them.

    Raises LedgerUnavailable and BrokerUnavailable.
    """
    queued: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    named: list[UUID] = []
    published = 0

    def look_again(suspects: list[Publication]) -> None:
        nonlocal published
        time.sleep(second_look_seconds)
        for start in range(0, len(suspects), PAGE):
            found = _lost(engine, inventory, suspects[start : start + PAGE])
            missing.update(publication.queue for publication in found)
            named.extend(publication.task_id for publication in found[: _NAMED - len(named)])
            if publish is not None:
                published += publish(found)

    try:
        lost_everything = not client.exists(names.epoch)
        suspects: list[Publication] = []
        place: Place | None = Place()
        while place is not None:
            page = ledger.run(engine, partial(inventory.page, place=place))
            queued[place.queue] += page.size
            suspects += inventory.unknown(page.old)
            place = page.next
            if suspects and (place is None or len(suspects) >= _SUSPECTS):
                look_again(suspects)
                suspects = []
    except redis.RedisError as e:
        raise BrokerUnavailable(str(e)) from e
    shown = dict.fromkeys((*queues, *(queue for queue in queued if queued[queue])))
    return Survey([QueueSurvey(q, queued[q], missing[q]) for q in shown], named, published, lost_everything)


def _lost(engine: Engine, inventory: Inventory, suspects: Sequence[Publication]) -> list[Publication]:
    """The ledger, Redis, the ledger, as the leader does (`reconcile.Missing`)."""
    waiting = ledger.run(engine, partial(inventory.still_queued, suspects=suspects))
    unknown = inventory.unknown(waiting)
    return ledger.run(engine, partial(inventory.still_queued, suspects=unknown)) if unknown else []


def publish_again(engine: Engine, publisher: Publisher, inventory: Inventory, missing: Sequence[Publication]) -> int:
    """Publishes what was found missing and what still is; harmless next to the leader doing the same.

    Raises LedgerUnavailable and BrokerUnavailable.
    """
    published = 0
    for start in range(0, len(missing), PAGE):
        found, outbox_id = ledger.run(engine, partial(inventory.box, suspects=missing[start : start + PAGE]))
        published += publisher.publish(found)
        if outbox_id is not None:
            ledger.run(engine, partial(delete, outbox_ids=[outbox_id]))
    return published
