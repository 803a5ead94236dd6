"""Which errors of maintenance.* are tried again, by kind."""

from __future__ import annotations

from taskyard.domain.retry import CONNECTION, VALIDATION

CACHE_RULE = CONNECTION.of("cache_unavailable")
ARCHIVE_RULE = VALIDATION.of("archive_damaged")
