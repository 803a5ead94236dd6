"""Which errors of payments are tried again, by kind: those after which a card may not have been charged, at the pace of
the type. All others are final: to try them again is a person's decision."""

from __future__ import annotations

from dataclasses import replace

from taskyard.domain.errors import TimeLimitExceeded
from taskyard.domain.retry import AUTHENTICATION, CONNECTION, RATE_LIMIT, VALIDATION, RetryPolicy, RetryRule

RULES = (
    replace(CONNECTION, first_delay=None).of("stripe_unanswered", "stripe_failed", "stripe_unreadable"),
    RATE_LIMIT,
    AUTHENTICATION.of("stripe_key_refused"),
    VALIDATION.of("amount_too_fine", "payment_refused"),
    RetryRule("payment", codes=("payment_declined", "payment_needs_customer"), retried=False),
    RetryRule("unknown", codes=("payment_unsettled", "payment_unverified", "payment_key_reused"), retried=False),
    RetryRule("configuration", codes=("stripe_not_configured",), retried=False),
)
RETRY = RetryPolicy(retries=3, retry_on=(ConnectionError, TimeoutError, TimeLimitExceeded), rules=())
