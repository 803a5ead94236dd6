"""Which errors of data.sync are tried again, by kind."""

from __future__ import annotations

from taskyard.domain.retry import AUTHENTICATION, CONNECTION, RATE_LIMIT, VALIDATION

RULES = (
    CONNECTION.of("sync_unanswered"),
    RATE_LIMIT,
    AUTHENTICATION,
    VALIDATION.of(
        *("sync_address", "sync_address_refused", "sync_redirected", "sync_refused", "sync_page_too_large"),
        *("sync_page_invalid", "sync_item_invalid", "sync_cursor_repeats", "sync_other_origin"),
        *("sync_cursor_refused", "sync_empty_pages"),
    ),
)
