"""Idempotency-Key for calls that are not submits: the key is taken and the answer kept with what they do."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

import falcon.asgi
import structlog
from sqlalchemy import Connection

from taskyard.domain.errors import LedgerUnavailable, Refused
from taskyard.domain.messages import message
from taskyard.lifecycle import idempotency
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import IdempotencyKey, StoredAnswer

from .ledger_pool import LedgerPool
from .refusals import Fault, Invalid
from .requests import Request

log = structlog.get_logger(__name__)

HEADER = "Idempotency-Key"
_KEPT_HEADERS = ("location", "content-language")


def key_of(req: Request, body: bytes | bytearray) -> IdempotencyKey | None:
    """The request's key with its fingerprint, or None. Raises Invalid."""
    given = req.header(b"idempotency-key")
    if given is None:
        return None
    key = given.decode("latin-1").strip(" \t")
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise Invalid([Fault(HEADER, message("Must be 1 to 255 printable ASCII characters."))])
    fingerprint = hashlib.sha256()
    for part in (req.method.encode(), req.path.encode(), body):
        fingerprint.update(len(part).to_bytes(8))
        fingerprint.update(part)
    return IdempotencyKey(req.context.caller.key_id, key, fingerprint.digest())


def replay(resp: falcon.asgi.Response, answer: StoredAnswer) -> None:
    resp.status = answer.status
    resp.content_type = "application/json"
    resp.data = answer.body
    for name, value in answer.headers.items():
        resp.set_header(name, value)
    if answer.replayed:
        resp.set_header("Idempotency-Replayed", "true")


async def answered_before(ledger: LedgerPool, key: IdempotencyKey | None, resp: falcon.asgi.Response) -> bool:
    """Answers a repeated request as the first time; False where it is not a repeat. For requests that would be refused
    by now: time has passed, and settings may have changed."""
    if key is None:
        return False
    kept = await ledger.run(lambda conn: idempotency.first_answer(conn, key))
    if kept is None:
        return False
    replay(resp, kept)
    return True


async def once(
    ledger: LedgerPool,
    key: IdempotencyKey | None,
    resp: falcon.asgi.Response,
    work: Callable[[], Awaitable[None]],
) -> None:
    """For `work` of several transactions, which answers into `resp`: done unless this key was answered before. Work
    that is one transaction goes through `once_with_the_change`.

    Raises KeyReused, AnswerPending, and what `work` raises. A refusal gives the key back. After another error some of
    the work may be done: for a minute the key is taken, then a repeat does the rest.
    """
    if key is None:
        await work()
        return
    kept = await ledger.run(lambda conn: idempotency.reserve(conn, key))
    if kept is not None:
        replay(resp, kept)
        return
    try:
        await work()
    except Refused:
        await _release(ledger, key)
        raise
    headers = {name: value for name, value in resp.headers.items() if name in _KEPT_HEADERS}
    answer = StoredAnswer(resp.status_code, headers, resp.data or b"")
    try:
        await ledger.run(lambda conn: idempotency.keep_answers(conn, [(key, answer)]))
    except LedgerUnavailable:
        log.warning("idempotent_answer_not_kept", exc_info=True)  # what was done is told all the same


async def once_with_the_change(
    ledger: LedgerPool,
    key: IdempotencyKey | None,
    resp: falcon.asgi.Response,
    work: Callable[[Connection], Committed[StoredAnswer]],
) -> None:
    """Does `work` unless this key was answered before. All is one transaction: the key is taken and the answer stored
    with what `work` does. A repeat that arrives meanwhile waits for it. Nothing is done twice, even where the answer to
    the commit got lost.

    Raises KeyReused, and what `work` raises.
    """

    def change(conn: Connection) -> Committed[StoredAnswer]:
        kept = None if key is None else idempotency.reserve(conn, key)
        if kept is not None:
            return Committed(kept)
        done = work(conn)
        if key is not None:
            idempotency.keep_answers(conn, [(key, done.answer)])
        return done

    replay(resp, await ledger.commit(change))


async def _release(ledger: LedgerPool, key: IdempotencyKey) -> None:
    try:
        await ledger.run(lambda conn: idempotency.forget(conn, [key]))
    except Exception:
        # It can be taken over after a minute.
        log.warning("idempotency_key_left", exc_info=True)
