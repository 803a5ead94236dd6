"""Stripe, as far as its documentation describes PaymentIntents, their search, idempotency keys and errors.

https://docs.stripe.com/api/payment_intents, /api/idempotent_requests, /api/errors, /error-low-level, /testing.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from tests.support.http_stand_in import Call, Reply, answering

KEY = "sk_test_of_these_tests_4eC39HqLyjWDarjtT1zdp7dc"
# As Stripe's messages name a card.
CARD = "card 4242"
# Stripe's own test cards: https://docs.stripe.com/testing
VISA = "pm_card_visa"
DECLINES: dict[str, tuple[str | None, str | None]] = {
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_visa_chargeDeclinedStolenCard": ("card_declined", "stolen_card"),
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", None),
}
NEEDS_CUSTOMER = "pm_card_authenticationRequired"
_QUERY = re.compile(r"metadata\['task_id'\]:'([0-9a-f-]{36})'")


def error(status: int, kind: str, code: str | None = None, **more: Any) -> Reply:
    said = {"type": kind, "code": code, "message": f"Told with the {CARD} and the key {KEY[:8]}****7dc", **more}
    return Reply(status, {"error": {name: value for name, value in said.items() if value is not None}})


def asking_for_patience(reply: Reply, seconds: int) -> Reply:
    return replace(reply, headers=(*reply.headers, ("Retry-After", str(seconds))))


LOCK_TIMEOUT = error(429, "invalid_request_error", "lock_timeout")
RATE_LIMIT = asking_for_patience(error(429, "rate_limit_error", "rate_limit"), 7)
# Of the search: accounts in India, and restricted keys without that right.
NO_SEARCH = error(400, "invalid_request_error")
NO_RIGHT = error(403, "invalid_request_error")
# https://docs.stripe.com/api/payment_intents/create: an amount has at most eight digits.
_MOST_DIGITS = 8


@dataclass
class Stripe:
    """`intents` are all that were made, `charges` those whose card was charged.

    `before` are answered in place of what would be done, one after the other (None hangs up), `after` in place of the
    answer to what was done, `search` in place of every search. `charged` is called behind a charge, before its answer.
    `is_indexed` False: the search does not find anything yet.
    """

    url: str = ""
    intents: list[dict[str, Any]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    before: list[Reply | None] = field(default_factory=list)
    after: list[Reply | None] = field(default_factory=list)
    search: Reply | None = None
    charged: Callable[[], object] = lambda: None
    status: str = "succeeded"
    is_indexed: bool = True
    _keys: dict[str, tuple[bytes, Reply | None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def charges(self) -> list[dict[str, Any]]:
        return [intent for intent in self.intents if intent["status"] == "succeeded"]

    def forget_keys(self) -> None:
        """As after 24 hours."""
        self._keys.clear()

    def answer(self, call: Call) -> Reply | None:
        with self._lock:
            self.calls.append(call)
        if self.search is not None and call.method == "GET":
            return self.search
        if call.headers.get("authorization") != f"Bearer {KEY}":
            return error(401, "invalid_request_error")
        if self.before:
            return self.before.pop(0)
        match call.method, call.path:
            case "POST", "/v1/payment_intents":
                return self._once(call)
            case "GET", "/v1/payment_intents/search":
                return self._found(call.query["query"])
        return error(404, "invalid_request_error", "resource_missing")

    def _once(self, call: Call) -> Reply | None:
        """Same key and body: the first answer again, errors included. A key whose first request runs: 409."""
        key = call.headers["idempotency-key"]
        with self._lock:
            body, kept = self._keys.setdefault(key, (call.body, None))
            is_first = kept is None and body is call.body
        if body != call.body:
            return error(400, "idempotency_error")
        if kept is not None:
            return Reply(kept.status, kept.body, (*kept.headers, ("Idempotent-Replayed", "true")))
        if not is_first:
            return error(409, "invalid_request_error", "idempotency_key_in_use")
        made = self._made(dict(parse_qsl(call.body.decode())))
        if made.status == 400:
            del self._keys[key]  # nothing was executed
            return made
        reply = self.after.pop(0) if self.after else made
        self._keys[key] = (call.body, made if reply is None else reply)
        self.charged()
        return reply

    def _made(self, form: dict[str, str]) -> Reply:
        method, amount = form.get("payment_method", ""), form.get("amount", "")
        if not amount.isdecimal() or form.get("confirm") != "true":
            return error(400, "invalid_request_error", "parameter_invalid_integer", param="amount")
        if len(amount) > _MOST_DIGITS:
            return error(400, "invalid_request_error", "amount_too_large", param="amount")
        if form["currency"] in {"kpw", "irr"}:
            return error(400, "invalid_request_error", "currency_not_supported", param="currency")
        code, decline = DECLINES.get(method, (None, None))
        status = self.status
        if method == NEEDS_CUSTOMER:
            if form.get("off_session") == "true":
                code, decline = "authentication_required", "authentication_required"
            elif form.get("error_on_requires_action") == "true":
                code = "payment_intent_action_required"
            else:
                status = "requires_action"
        intent = {
            "id": f"pi_{len(self.intents) + 1}MtwBwLkdIwHu7ix28a3tqPa", "object": "payment_intent",
            "amount": int(amount), "currency": form["currency"], "status": status,
            "metadata": {name: form[f"metadata[{name}]"] for name in ("task_id", "payment_id")},
        }  # fmt: skip
        if code is not None:
            intent["status"] = "requires_payment_method"
        with self._lock:
            self.intents.append(intent)
        if code is not None:
            return error(402, "card_error", code, decline_code=decline, payment_intent=intent)
        return Reply(200, intent)

    def _found(self, query: str) -> Reply:
        asked = _QUERY.fullmatch(query)
        if asked is None:
            return error(400, "invalid_request_error")
        data = [i for i in self.intents if self.is_indexed and i["metadata"]["task_id"] == asked[1]]
        return Reply(200, {"object": "search_result", "has_more": False, "data": data})


@contextmanager
def stripe() -> Iterator[Stripe]:
    server = Stripe()
    with answering(server.answer) as server.url:
        yield server
