"""What a child connects with."""

from __future__ import annotations

from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import make_publisher
from taskyard.settings import Settings
from taskyard.store.ledger import Plans, engine_of

# The threads of the platform that use PostgreSQL, with one connection each. Submits of tasks have a pool of their own:
# however many connections they take, outcomes are recorded. Three at a time are enough: they are short, and the others
# wait.
LEDGER_THREADS = ("consumer", "writer", "dispatcher")
SUBMITS = ("context.submit()",) * 3


class Connections:
    """Engines and clients of Redis that have not connected. A template makes them, and each of its children connects by
    itself: making them would take each child 5 ms, and 2.5 MiB that it would share otherwise.

    `label`: the name of the child; PostgreSQL shows it.
    """

    def __init__(self, settings: Settings, label: str) -> None:
        self.label = label
        self.ledger = engine_of(
            settings, lambda: f"taskyard-worker {self.label}", serves=LEDGER_THREADS, plans=Plans.BY_KEY
        )
        self.submits = engine_of(settings, lambda: f"taskyard-task {self.label} submits", serves=SUBMITS)
        redis_url = settings.redis_url.get_secret_value()
        self.publisher = make_publisher(redis_url, Names(settings.namespace))
        self.fetching = make_redis(redis_url)
