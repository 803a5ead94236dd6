"""Which errors of mail are tried again, by kind. What is in none is tried again by the type's own delays."""

from __future__ import annotations

from taskyard.domain.retry import AUTHENTICATION, CONNECTION, VALIDATION, RetryRule
from taskyard_kits import stored_files

UNREACHABLE = CONNECTION.of("smtp_unreachable")
# A person has to act first.
FINAL = (
    AUTHENTICATION.of("smtp_auth_failed"),
    VALIDATION.of("smtp_refused", "smtp_unsupported", "html_unreadable", "message_invalid"),
    RetryRule("configuration", codes=("smtp_not_configured", "smtp_sender_invalid", "smtp_tls_failed"), retried=False),
)
RULES = (UNREACHABLE, *FINAL)
# It submits messages, and sends none.
NEWSLETTER = stored_files.FINAL.of(
    "recipients_unreadable", "too_many_recipients", "placeholder_unknown", "newsletter_too_large"
)
