"""Drains the outbox of an application's own database: submits its rows over HTTP, at least once.

A row is deleted once the API has answered. Dying in between repeats the submit with the same id and idempotency key,
which makes no second task. What the API refuses stays, with its words. Several relays share the work.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from typing import Any

import psycopg

from .client import Client
from .errors import ApiRefused, ClientError, Conflict, NotAllowed, RateLimited
from .outbox import CHANNEL
from .tracing import passing_on

log = logging.getLogger(__name__)

_PASSING = frozenset({"idempotency_in_progress"})
_ROWS = 50
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
        with conn.transaction():
            for row_id, task, headers in conn.execute(_TAKE, [_ROWS]).fetchall():
                try:
                    self._submit(str(row_id), task, headers)
                except ClientError as e:
                    problem = _refusal(e)
                    if problem is None:
                        failed = e
                        break
                    refusals.append((json.dumps(problem), row_id))
                    log.warning("refused: %s: %s", row_id, e)
                else:
                    submitted.append(row_id)
                if self._stopping.is_set():
                    break
            conn.execute(_DELETE, [submitted])
            for refusal in refusals:
                conn.execute(_REFUSE, refusal)
        if failed is not None:
            raise failed
        return len(submitted) + len(refusals)

    def _submit(self, key: str, task: dict[str, Any], headers: dict[str, str]) -> None:
        options = {field: value for field, value in task.items() if field not in {"name", "params"}}
        with passing_on(request_id=headers.get("X-Request-ID"), traceparent=headers.get("traceparent")):
            try:
                self._client.submit(task["name"], task["params"], **options, idempotency_key=key)
            except Conflict as e:
                if e.code != "id_taken":
                    raise
                log.info("was there already: %s", key)


def _refusal(error: ClientError) -> dict[str, Any] | None:
    """What the API says of this task; None where it says something of the key, the rate or the platform, which may be
    different later."""
    if not isinstance(error, ApiRefused) or isinstance(error, RateLimited) or error.code in _PASSING:
        return None
    is_of_the_row = error.code == "queue_not_allowed" or (not isinstance(error, NotAllowed) and error.status < 500)
    return error.problem if is_of_the_row else None
