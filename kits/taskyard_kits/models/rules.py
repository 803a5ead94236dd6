"""Which errors of providers are tried again, by kind."""

from __future__ import annotations

from taskyard.domain.retry import AUTHENTICATION, CONNECTION

RULES = (
    CONNECTION.of("provider_unanswered", "cache_unavailable"),
    AUTHENTICATION.of("provider_key_refused"),
)
