"""Which errors of Google Sheets are tried again, by kind. RateLimited waits as told, or 60 s doubling."""

from __future__ import annotations

from taskyard.domain.retry import AUTHENTICATION, CONNECTION, VALIDATION, RetryRule
from taskyard_kits.stored_files import FINAL as STORED_FILE_RULE

from .words import TABLE_CODES

UNAVAILABLE = CONNECTION.of("gsheet_unavailable")
# A person has to act first.
NOT_ALLOWED = AUTHENTICATION.of(
    "gsheet_login_refused", "gsheet_api_disabled", "spreadsheet_not_shared", "spreadsheet_read_only"
)
UNUSABLE = VALIDATION.of(
    "spreadsheet_not_found",
    "not_native_gsheet",
    "gsheet_too_large",
    "gsheet_request_refused",
    "gsheet_last_tab",
)
CONFIGURATION = RetryRule("configuration", codes=("gsheet_not_configured", "gsheet_key_unusable"), retried=False)
RULES = (UNAVAILABLE, NOT_ALLOWED, UNUSABLE, CONFIGURATION)
READ_RULES = (*RULES, VALIDATION.of("tab_not_found"))
LOAD_RULES = (*READ_RULES, STORED_FILE_RULE.of(*TABLE_CODES))
