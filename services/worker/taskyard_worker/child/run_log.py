"""The log lines of a run: one at its start, one at its end."""

from __future__ import annotations

import logging
from typing import Any

import structlog

from taskyard.domain.tasks import Cancelled, Failed, Outcome, Released, RetryIn, Succeeded
from taskyard.running.hooks import Hook, Run

log = structlog.stdlib.get_logger(__name__)
# There are thousands of runs a second, so a line that the level drops is not even built.
_is_enabled_for = logging.getLogger(__name__).isEnabledFor


class RunLog(Hook):
    """The worker's own hook."""

    def before_run(self, run: Run) -> None:
        if _is_enabled_for(logging.INFO):
            log.info("task_started", **_names(run))

    def after_run(self, run: Run, outcome: Outcome) -> None:
        level = logging.INFO
        extra: dict[str, Any] = {}
        match outcome:
            case Succeeded():
                event = "task_succeeded"
            case RetryIn(fault, delay):
                event, level = "task_retrying", logging.WARNING
                extra = {"code": fault.code, "retry_in_seconds": round(delay.total_seconds(), 3)}
            case Failed(fault):
                event, level = "task_failed", logging.ERROR
                extra = {"code": fault.code, "traceback": fault.traceback}
            case Cancelled():
                event = "task_cancelled"
            case Released(cause):
                event, extra = "task_released", {"cause": cause}
        if _is_enabled_for(level):
            log.log(level, event, **_names(run), seconds=round(run.seconds or 0.0, 6), **extra)


def _names(run: Run) -> dict[str, Any]:
    """What every log line about a run carries; lines from within the run get the same from `capture.current`."""
    return {
        "task_id": str(run.task_id),
        "task_name": run.name,
        "attempt": run.attempt,
        "request_id": run.request_id,
        "trace_id": run.trace_id,
    }
