"""What is left of a connection that did not come about: nothing."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError

from taskyard.store.async_engine import make_async_engine
from taskyard.store.ledger import make_engine
from tests.support.cases import one_in

_ONE_SECOND = timedelta(seconds=1)
_ATTEMPTS = 2


def connect(url: str) -> None:
    engine = make_engine(url, connect_timeout=_ONE_SECOND)
    for _ in range(_ATTEMPTS):
        with pytest.raises(OperationalError, match="timeout"):
            engine.connect()


def connect_async(url: str) -> None:
    async def attempts() -> None:
        engine = make_async_engine(url, pool_size=1, connect_timeout=_ONE_SECOND)
        for _ in range(_ATTEMPTS):
            with pytest.raises(OperationalError, match="timeout"):
                await engine.connect()

    asyncio.run(attempts())


@contextmanager
def garbage_uncollected() -> Iterator[None]:
    """As in the services, which let Python collect cycles rarely."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("connecting", one_in(2, [connect, connect_async]))
def test_an_attempt_that_times_out_closes_its_socket(connecting: Callable[[str], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, garbage_uncollected():
        connecting(f"postgresql+psycopg://somebody@127.0.0.1:{silent.getsockname()[1]}/nothing")
        with ExitStack() as exits:
            for _ in range(_ATTEMPTS):
                other_end = exits.enter_context(silent.accept()[0])
                other_end.settimeout(2.0)
                while other_end.recv(1024):  # the first message of libpq; then the end, or TimeoutError
                    pass
