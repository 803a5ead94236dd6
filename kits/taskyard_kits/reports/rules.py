"""Which errors of reports are never tried again. `storage_unavailable` is, by the type's own delays."""

from __future__ import annotations

from taskyard_kits.stored_files import FINAL as STORED_FILE_RULE

RULE = STORED_FILE_RULE.of(
    "report_period_empty", "report_period_too_long", "report_period_unreadable", "report_too_slow", "unknown_timezone"
)
