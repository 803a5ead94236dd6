"""Drains the outbox of an application's own database: submits its rows over HTTP, at least once.

A row is deleted once the API has answered. Dying in between repeats the submit with the same id and idempotency key,
which makes no second task. What the API refuses stays, with its words. Several relays share the work.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from typing import Any, cast

import psycopg

from .client import Client
from .errors import ApiRefused, ClientError, Conflict, RateLimited
from .outbox import CHANNEL
from .tracing import passing_on

log = logging.getLogger(__name__)

_PASSING = frozenset({"idempotency_in_progress"})
_OF_THE_ROW = frozenset({400, 409, 422})
_ROWS = 50
_TURN_SECONDS = 10.0  # its rows are locked so long, and VACUUM of the application's tables waits for them
_POLL_SECONDS = 1.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0

# Locked until their fate is written; another relay takes the others.
_TAKE = """
SELECT id, task, passed_on FROM taskyard_outbox WHERE refused_at IS NULL
ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED
"""
_DELETE = "DELETE FROM taskyard_outbox WHERE id = ANY(%s)"
_REFUSE = "UPDATE taskyard_outbox SET refused_at = now(), refusal = CAST(%s AS json) WHERE id = %s"
_RETRY = "UPDATE taskyard_outbox SET refused_at = NULL, refusal = NULL WHERE refused_at IS NOT NULL"


class Relay:
    """`database_url` is libpq's. `stop` may be called from a signal handler."""

    def __init__(self, database_url: str, client: Client) -> None:
        self._database_url = database_url
        self._client = client
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Relays until it is stopped. Servers that are away are waited for."""
        failures = 0
        while not self._stopping.is_set():
            try:
                with psycopg.connect(
                    self._database_url, autocommit=True, application_name="taskyard-client relay"
                ) as conn:
                    conn.execute(f"LISTEN {CHANNEL}".encode())
                    while not self._stopping.is_set():
                        done = self.turn(conn)
                        failures = 0
                        if done < _ROWS:
                            for _ in conn.notifies(timeout=_POLL_SECONDS, stop_after=1):
                                pass
            except (psycopg.OperationalError, ClientError) as e:  # noqa: PERF203 - servers are away for seconds
                pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(failures, 10))
                failures += 1
                log.warning("nothing can be relayed now: %s", str(e).splitlines()[0])
                self._stopping.wait(pause * random.uniform(0.5, 1))

    def drain(self) -> int:
        """Relays what is there; returns how many rows that were. Raises ClientError and what psycopg raises."""
        with psycopg.connect(self._database_url, autocommit=True) as conn:
            total = 0
            while done := self.turn(conn):
                total += done
        return total

    def retry_refused(self) -> int:
        """Makes the refused rows due again; returns how many."""
        with psycopg.connect(self._database_url, autocommit=True) as conn:
            return conn.execute(_RETRY).rowcount

    def turn(self, conn: psycopg.Connection[Any]) -> int:
        """Submits some rows and writes what became of them; returns how many are dealt with. Raises ClientError where
        the others have to wait."""
        failed: ClientError | None = None
        submitted, refusals = [], []
        until = time.monotonic() + _TURN_SECONDS
        with conn.transaction():
            for row_id, task, headers in conn.execute(_TAKE, [_ROWS]).fetchall():
                try:
                    self._submit(str(row_id), task, headers)
                except (ClientError, TypeError, ValueError) as e:
                    problem = _refusal(e)
                    if problem is None:
                        failed = cast(ClientError, e)
                        break
                    refusals.append((json.dumps(problem), row_id))
                    log.warning("refused: %s: %s", row_id, e)
                else:
                    submitted.append(row_id)
                if self._stopping.is_set() or time.monotonic() > until:
                    break
            conn.execute(_DELETE, [submitted])
            for refusal in refusals:
                conn.execute(_REFUSE, refusal)
        if failed is not None:
            raise failed
        return len(submitted) + len(refusals)

    def _submit(self, key: str, task: Any, headers: Any) -> None:
        """Raises ClientError, and TypeError and ValueError for a row that is no submit: an application may write rows
        without `enqueue_in`."""
        if not (isinstance(task, dict) and "name" in task and isinstance(task.get("params", {}), dict)):
            raise TypeError('a row holds {"name": ..., "params": {...}} and options of a submit')
        options = {"id": key, **task}
        name, params = options.pop("name"), options.pop("params", {})
        if options.keys() & {"self", "idempotency_key"}:
            raise TypeError("the idempotency key is the id of the row")
        given = headers if isinstance(headers, dict) else {}
        request_id, traceparent = (str(given.get(header) or "") for header in ("X-Request-ID", "traceparent"))
        with passing_on(request_id=request_id, traceparent=traceparent):
            try:
                self._client.submit(name, params, **options, idempotency_key=key)
            except Conflict as e:
                if e.code != "id_taken":
                    raise
                log.info("was there already: %s", key)


def _refusal(error: ClientError | TypeError | ValueError) -> dict[str, Any] | None:
    """What is wrong with this task, mostly in the API's words; None where the API says something of the key, the rate,
    the address or the platform, which may be different later."""
    if not isinstance(error, ClientError):
        return {"code": "unreadable_row", "detail": str(error)}
    if not isinstance(error, ApiRefused) or isinstance(error, RateLimited) or error.code in _PASSING:
        return None
    # Another server answers without a code; a proxy may find a body too large.
    is_of_the_row = (
        error.code == "queue_not_allowed" or error.status == 413 or (error.status in _OF_THE_ROW and error.code)
    )
    return error.problem if is_of_the_row else None
