"""What PostgreSQL's error codes (SQLSTATE) mean to us. The only place that tells them apart.

Source: PostgreSQL's manual, appendix A, "PostgreSQL Error Codes".
"""

from __future__ import annotations

from enum import Enum

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..domain.errors import LedgerUnavailable


class Meaning(Enum):
    AWAY = "PostgreSQL cannot be had now; whether the statement was carried out is not known"
    CONFLICT = "the statement met another one and was undone; the same call may be repeated"
    BAD_DATA = "a value in it cannot be stored: the row is wrong, not the server"
    NOT_MIGRATED = "a table is missing"
    OTHER = "none of these: a fault of ours"


# The longest prefix that fits decides.
SQLSTATES: dict[str, Meaning] = {
    "08": Meaning.AWAY,  # connection
    "53": Meaning.AWAY,  # out of connections, disk or memory
    "57": Meaning.AWAY,  # shutting down, starting, ended by an operator, or no answer in time
    "58": Meaning.AWAY,  # trouble with its own files
    "25006": Meaning.AWAY,  # read-only: a standby after a failover
    "25P03": Meaning.AWAY,  # this side was silent in a transaction for too long
    "55P03": Meaning.AWAY,  # no lock in time: a server whose disk is stalled does not answer either
    "40": Meaning.CONFLICT,  # serialisation failure, deadlock
    "22": Meaning.BAD_DATA,  # data exception
    "23": Meaning.BAD_DATA,  # integrity constraint
    "54": Meaning.BAD_DATA,  # too large or too complex
    "42P01": Meaning.NOT_MIGRATED,  # undefined table
}

READ_ONLY = "25006"
# The server ended this connection before it began with the statement.
CONNECTION_ENDED = "57P01"
NO_LOCK_IN_TIME = "55P03"
# The statement ran longer than `statement_timeout`, or an operator has ended it.
STATEMENT_CANCELLED = "57014"
NOT_ALLOWED = "42501"  # insufficient privilege
NOT_UNIQUE = "23505"
EXISTS_ALREADY = ("42710", NOT_UNIQUE)  # the second, where two processes make it at the same moment


def sqlstate(error: BaseException | None) -> str | None:
    """The five-character SQLSTATE of a database error, if it carries one."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def meaning(error: BaseException) -> Meaning:
    """What a database error means; of an error that has nothing to do with PostgreSQL: OTHER."""
    if isinstance(error, LedgerUnavailable | PoolTimeout | InterfaceError):
        return Meaning.AWAY
    if not isinstance(error, DBAPIError):
        return Meaning.OTHER
    state = sqlstate(error)
    if state is None:
        return Meaning.AWAY if error.connection_invalidated or isinstance(error, OperationalError) else Meaning.OTHER
    return next((SQLSTATES[state[:n]] for n in range(len(state), 1, -1) if state[:n] in SQLSTATES), Meaning.OTHER)
