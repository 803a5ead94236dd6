"""What taskyard_sql.submit refuses reads the same by every driver. The helpers check first, so it is rare."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from taskyard_client import Invalid
from taskyard_client.transaction import refused

SAID, DETAIL = "There is no queue 'x'.", '{"pointer": "/queue", "code": "unknown_queue"}'


def an_error(name: str, **attributes: object) -> Exception:
    made: Exception = type(name, (Exception,), attributes)()
    return made


def around(inner: Exception, **attributes: object) -> Exception:
    outer = an_error("Error", **attributes)
    outer.__cause__ = inner
    return outer


DIAG = SimpleNamespace(message_primary=SAID, message_detail=DETAIL)
PSYCOPG = an_error("DatabaseError", sqlstate="TY422", diag=DIAG)
PSYCOPG2 = an_error("DatabaseError", pgcode="TY422", diag=DIAG)
ASYNCPG = an_error("UnknownPostgresError", sqlstate="TY422", message=SAID, detail=DETAIL)


@pytest.mark.parametrize(
    "error",
    [
        PSYCOPG,
        PSYCOPG2,
        ASYNCPG,
        around(PSYCOPG),  # of Django
        around(PSYCOPG2),
        around(PSYCOPG, orig=PSYCOPG),  # of SQLAlchemy
        around(PSYCOPG2, orig=PSYCOPG2),
        an_error("DBAPIError", orig=around(ASYNCPG, sqlstate="TY422", pgcode="TY422")),
    ],
)
def test_the_refusal_of_the_function_is_an_invalid(error: Exception) -> None:
    told = refused(error)
    assert isinstance(told, Invalid)
    assert (told.code, told.args[0], told.errors) == ("unknown_queue", SAID, [("/queue", SAID)])


def test_other_errors_of_a_driver_stay_what_they_are() -> None:
    assert refused(an_error("UniqueViolation", sqlstate="23505", diag=DIAG)) is None
    assert refused(ValueError()) is None
