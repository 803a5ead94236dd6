"""Which errors of maintenance.* are tried again, by kind."""

from __future__ import annotations

from datetime import timedelta

from taskyard.domain.retry import CONNECTION, VALIDATION, RetryRule

CACHE_RULE = CONNECTION.of("cache_unavailable")
# It is not asked in another attempt either.
NOT_ASKED = RetryRule("not_asked", codes=("operation_not_asked",), retried=False)
# The next attempt takes up where this one's time was over.
GOES_ON = RetryRule("operation_goes_on", codes=("operation_goes_on",), first_delay=timedelta(seconds=1))
ARCHIVE_RULE = VALIDATION.of("archive_damaged")
