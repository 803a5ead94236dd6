"""Connections of applications, by every library that `submit_in` knows. Each is in a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.orm import Session, scoped_session, sessionmaker


@contextmanager
def of_psycopg(url: str) -> Iterator[Any]:
    with psycopg.connect(url, row_factory=dict_row) as conn:
        yield conn


@contextmanager
def of_psycopg_in_a_block(url: str) -> Iterator[Any]:
    with psycopg.connect(url, autocommit=True) as conn, conn.transaction():
        yield conn


@contextmanager
def _engine(url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def of_sqlalchemy(url: str) -> Iterator[Any]:
    with _engine(url) as engine, engine.begin() as conn:
        yield conn


@contextmanager
def of_a_session(url: str) -> Iterator[Any]:
    with _engine(url) as engine, Session(engine) as session, session.begin():
        yield session


@contextmanager
def of_a_scoped_session(url: str) -> Iterator[Any]:
    """As Flask-SQLAlchemy has it."""
    with _engine(url) as engine:
        session = scoped_session(sessionmaker(engine))
        with session.begin():
            yield session
        session.remove()


def django_connection(url: str) -> Any:
    import django
    from django.conf import settings
    from django.db.utils import ConnectionHandler

    if not settings.configured:
        settings.configure(USE_TZ=True)
        django.setup()
    parts = sa.make_url(url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.database,
        "USER": parts.username,
        "PASSWORD": parts.password,
        "HOST": parts.host,
        "PORT": parts.port,
    }
    return ConnectionHandler({"default": database})["default"]


@contextmanager
def of_django(url: str) -> Iterator[Any]:
    connection = django_connection(url)
    connection.set_autocommit(False)
    try:
        yield connection
    except BaseException:
        connection.rollback()
        raise
    else:
        connection.commit()
    finally:
        connection.close()


OPENED: dict[str, Callable[[str], AbstractContextManager[Any]]] = {
    "psycopg": of_psycopg,
    "psycopg in a block": of_psycopg_in_a_block,
    "sqlalchemy": of_sqlalchemy,
    "session": of_a_session,
    "scoped session": of_a_scoped_session,
    "django": of_django,
}
