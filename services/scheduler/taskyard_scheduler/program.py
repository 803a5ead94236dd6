"""What the commands of `taskyard-scheduler` share: its name, and servers whose failure becomes an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from taskyard.broker.names import Names
from taskyard.broker.publisher import Publisher, make_publisher
from taskyard.commands import AWAY, FAILED, NOT_MIGRATED, fail
from taskyard.domain.errors import Unavailable
from taskyard.settings import Settings
from taskyard.store.ledger import make_engine
from taskyard.store.sqlstates import Meaning, meaning

PROGRAM = "taskyard-scheduler"


class Servers(NamedTuple):
    engine: Engine
    publisher: Publisher


@contextmanager
def servers_or_exit(settings: Settings, command: str, *, away: str | None = None) -> Iterator[Servers]:
    """Both servers for one command; no connection is made before it is used.

    Ends the program with 3 where a server does not answer (the line begins with `away`, or with the error's name), and
    with 1 where the database is not migrated.
    """
    engine = make_engine(settings.database_url.get_secret_value(), pool_size=1, application_name=f"{PROGRAM} {command}")
    publisher = make_publisher(settings.redis_url.get_secret_value(), Names(settings.namespace))
    try:
        yield Servers(engine, publisher)
    except Unavailable as e:
        fail(PROGRAM, f"{away or type(e).__name__}: {str(e).splitlines()[0]}", AWAY)
    except DBAPIError as e:
        if meaning(e) is not Meaning.NOT_MIGRATED:
            raise
        fail(PROGRAM, NOT_MIGRATED, FAILED)
    finally:
        publisher.client.close()
        engine.dispose()
