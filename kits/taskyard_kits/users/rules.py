"""Which errors of users are tried again, by kind."""

from __future__ import annotations

from taskyard.domain.retry import RetryRule

UNKNOWN = RetryRule("user", codes=("user_not_found",), retried=False)
