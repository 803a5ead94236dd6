"""What the commands of `taskyard-scheduler` share: its name, and servers whose failure becomes an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from taskyard.broker.names import Names
from taskyard.broker.publisher import Publisher, make_publisher
from taskyard.commands import AWAY, command_engine, fail
from taskyard.domain.errors import BrokerUnavailable
from taskyard.settings import Settings

PROGRAM = "taskyard-scheduler"


@contextmanager
def servers_or_exit(settings: Settings) -> Iterator[tuple[Engine, Publisher]]:
    """Both servers for one command; no connection is made before it is used.

    Ends the program with 3 where a server does not answer, and as `command_engine` does for what PostgreSQL refuses.
    """
    publisher = make_publisher(settings.redis_url.get_secret_value(), Names(settings.namespace))
    try:
        with command_engine(PROGRAM, settings) as engine:
            yield engine, publisher
    except BrokerUnavailable as e:
        fail(PROGRAM, f"Redis does not answer: {str(e).splitlines()[0]}", AWAY)
    finally:
        publisher.client.close()
