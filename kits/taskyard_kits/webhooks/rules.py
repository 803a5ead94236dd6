"""Which errors of webhooks are tried again, by kind. A receiver's answer is in none: Standard Webhooks tries again
after all of them but 410."""

from __future__ import annotations

from dataclasses import replace

from taskyard.domain.retry import CONNECTION, RATE_LIMIT, RetryRule

# At the pace of the type, which Standard Webhooks recommends; `Retry-After` wins.
RETRIED = (
    replace(CONNECTION, first_delay=None).of("webhook_unanswered"),
    replace(RATE_LIMIT, first_delay=None),
)
FINAL = (
    RetryRule("receiver", codes=("webhook_gone", "webhook_address_gone", "webhook_address_refused"), retried=False),
)
RULES = (*RETRIED, *FINAL)
