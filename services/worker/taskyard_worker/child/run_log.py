"""The log lines of a run: one at its start, one at its end."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import structlog

from taskyard.domain.tasks import Cancelled, Fault, Outcome, Released, Succeeded
from taskyard.running.hooks import Hook, Run

log = structlog.stdlib.get_logger(__name__)
# There are thousands of runs a second, so a line that the level drops is not even built.
_is_enabled_for = logging.getLogger(__name__).isEnabledFor


class FaultLog(Hook):
    """The worker's own hook where the level drops the lines of runs that went well: it hears of no others."""

    def on_retry(self, run: Run, fault: Fault, delay: timedelta) -> None:
        _tell(logging.WARNING, "task_retrying", run, code=fault.code, retry_in_seconds=round(delay.total_seconds(), 3))

    def on_failure(self, run: Run, fault: Fault) -> None:
        _tell(logging.ERROR, "task_failed", run, code=fault.code, traceback=fault.traceback)


class RunLog(FaultLog):
    """The worker's own hook."""

    def before_run(self, run: Run) -> None:
        if _is_enabled_for(logging.INFO):
            log.info("task_started", **_names(run))

    def after_run(self, run: Run, outcome: Outcome) -> None:
        match outcome:
            case Succeeded():
                _tell(logging.INFO, "task_succeeded", run)
            case Cancelled():
                _tell(logging.INFO, "task_cancelled", run)
            case Released(cause):
                _tell(logging.INFO, "task_released", run, cause=cause)


def run_log() -> Hook:
    """For the level that logging is set up with."""
    return RunLog() if _is_enabled_for(logging.INFO) else FaultLog()


def _tell(level: int, event: str, run: Run, **more: Any) -> None:
    if _is_enabled_for(level):
        log.log(level, event, **_names(run), seconds=round(run.seconds or 0.0, 6), **more)


def _names(run: Run) -> dict[str, Any]:
    """What every log line about a run carries; lines from within the run get the same from `capture.current`."""
    return {
        "task_id": str(run.task_id),
        "task_name": run.name,
        "attempt": run.attempt,
        "request_id": run.request_id,
        "trace_id": run.trace_id,
    }
