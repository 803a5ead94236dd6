"""Which errors of providers are tried again, by kind."""

from __future__ import annotations

from taskyard.domain.retry import AUTHENTICATION, CONNECTION, VALIDATION

RULES = (
    CONNECTION.of("provider_unanswered", "cache_unavailable"),
    AUTHENTICATION.of("provider_key_refused"),
    VALIDATION.of("provider_list_too_long"),
)
