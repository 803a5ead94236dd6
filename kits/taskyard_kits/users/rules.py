"""Which errors of users are tried again, by kind."""

from __future__ import annotations

from datetime import timedelta

from taskyard.domain.retry import RetryRule

UNKNOWN = RetryRule("user", codes=("user_not_found",), retried=False)
# It is not asked in another attempt either.
NOT_ASKED = RetryRule("not_asked", codes=("erasure_not_asked",), retried=False)
# Tasks that are about the person, or mention the address: they may run for an hour.
STILL_RUN = RetryRule("tasks_still_run", codes=("tasks_still_run",), first_delay=timedelta(minutes=5))
