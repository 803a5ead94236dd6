"""Stripe's PaymentIntents over HTTP (https://docs.stripe.com/api/payment_intents).

Of an answer, ids, states and codes are read, each checked by its form. Stripe's own sentences are not passed on: they
may hold a part of the key or of the card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import orjson

from taskyard import AuthenticationFailed, RateLimited, TaskError
from taskyard.outbound.client import Answer, Bounds
from taskyard_kits import servers

from .settings import PaymentSettings
from .words import DECLINES

# What the code below reads is that of this version, whatever the account's own is.
VERSION = "2024-06-20"
# A bank may take its time; Stripe's own libraries wait for 80 s.
_BOUNDS = Bounds(connect_seconds=5.0, read_seconds=80.0, total_seconds=90.0, most_bytes=1024 * 1024, redirects=0)
_MOST_INTENTS = 100
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ID = re.compile(r"pi_[A-Za-z0-9_]{1,250}")
# The customer would have to confirm the payment: with `off_session`, and with `error_on_requires_action`.
_NEEDS_CUSTOMER = {"authentication_required", "payment_intent_action_required", "payment_intent_authentication_failure"}
# Stripe asks not to tell a customer that the card is known as stolen.
_UNTOLD = {"fraudulent", "lost_card", "merchant_blacklist", "pickup_card", "restricted_card", "stolen_card"}


@dataclass(frozen=True, slots=True)
class Intent:
    """`amount` in the currency's smallest unit; `currency` in small letters."""

    id: str
    status: str
    amount: int
    currency: str


class Stripe:
    """An account at Stripe. Its errors are TaskErrors.

    After stripe_unanswered, stripe_failed, stripe_unreadable, payment_key_reused and stripe_busy a card may have been
    charged: of the last one, a 409 means that an earlier call with the key still runs. After stripe_key_refused,
    payment_refused, payment_declined and payment_needs_customer it has not been, by this call. What earlier attempts
    did, only a search tells.
    """

    def __init__(self, base_url: str, key: str) -> None:
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {key}", "Stripe-Version": VERSION}

    @classmethod
    def of(cls, settings: PaymentSettings) -> Stripe:
        """Raises TaskError stripe_not_configured."""
        if settings.stripe_secret_key is None:
            raise TaskError("stripe_not_configured", retryable=False)
        return cls(settings.stripe_base_url, settings.stripe_secret_key.get_secret_value())

    async def create(self, form: Mapping[str, str], *, idempotency_key: UUID) -> Intent:
        """A PaymentIntent of these parameters; the one that exists where the key was used in the last 24 hours."""
        headers = {"Idempotency-Key": str(idempotency_key), "Content-Type": "application/x-www-form-urlencoded"}
        return _intent(await self._ask("POST", "/v1/payment_intents", headers, urlencode(form).encode()))

    async def search(self, task_id: UUID) -> list[Intent]:
        """The PaymentIntents of a task. A new one is found after a minute, while Stripe has trouble after an hour.

        Raises TaskError payment_unverified where Stripe does not let the account or its key search.
        """
        query = quote(f"metadata['task_id']:'{task_id}'")
        target = f"/v1/payment_intents/search?query={query}&limit={_MOST_INTENTS}"
        try:
            found = await self._ask("GET", target, {}, b"")
        except TaskError as e:
            if e.code == "payment_refused" or (e.code == "stripe_key_refused" and e.values["status"] == 403):
                raise TaskError("payment_unverified", retryable=False) from None
            raise
        intents = found.get("data")
        if not isinstance(intents, list):
            raise TaskError("stripe_unreadable")
        return [_intent(intent) for intent in intents[:_MOST_INTENTS]]

    async def _ask(self, method: str, target: str, headers: Mapping[str, str], content: bytes) -> dict[str, Any]:
        answer = await servers.ask(
            method,
            self._base_url + target,
            unanswered="stripe_unanswered",
            bounds=_BOUNDS,
            headers={**self._headers, **headers},
            content=content,
        )
        body = _object(answer)
        if answer.status != 200:
            busy = servers.rate_limit(answer, "stripe_busy")
            raise busy or _refusal(answer.status, body.get("error"))
        return body


def _object(answer: Answer) -> dict[str, Any]:
    """The body; empty where it is no JSON object."""
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _intent(found: Any) -> Intent:
    if isinstance(found, dict):
        match found:
            case {"id": str(intent), "status": str(status), "amount": int(amount), "currency": str(currency)} if (
                _ID.fullmatch(intent) and _CODE.fullmatch(status)
            ):
                return Intent(intent, status, amount, currency)
    raise TaskError("stripe_unreadable")


def _refusal(status: int, error: Any) -> TaskError:
    """https://docs.stripe.com/api/errors, and by their status https://docs.stripe.com/error-low-level."""
    kind, code, decline = (_word(error, name) for name in ("type", "code", "decline_code"))
    if status in {401, 403}:
        return AuthenticationFailed("stripe_key_refused", status=status)
    if status == 409:  # the request with this key is still being answered
        return RateLimited("stripe_busy")
    if status >= 500 or status < 400:
        return TaskError("stripe_failed", status=status)
    if kind == "idempotency_error":
        return TaskError("payment_key_reused", retryable=False)
    if status == 402 or kind == "card_error":
        return _declined(code, decline)
    return TaskError("payment_refused", retryable=False, reason=code or kind or str(status))


def _declined(code: str, decline: str) -> TaskError:
    if _NEEDS_CUSTOMER & {code, decline}:
        return TaskError("payment_needs_customer", retryable=False)
    reason = decline or code or "card_declined"
    if reason in _UNTOLD:
        reason = "generic_decline"
    phrase = f"decline_{reason}" if reason in DECLINES else "decline_other"
    return TaskError("payment_declined", retryable=False, reason={"phrase": phrase}, decline_code=reason)


def _word(error: Any, name: str) -> str:
    """A code of the error; empty where it has none."""
    found = error.get(name) if isinstance(error, dict) else None
    return found if isinstance(found, str) and _CODE.fullmatch(found) else ""
