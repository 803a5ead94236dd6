"""Reports of tasks that failed for good here, once they are recorded: what is fenced is another attempt's to tell."""

from __future__ import annotations

from collections.abc import Sequence

from taskyard.domain.tasks import Failed, Fault, State
from taskyard.lifecycle.claim import Claimed
from taskyard.telemetry.reports import FailedTask, Reports
from taskyard.telemetry.trace_context import trace_id_of

from .writer import End, Observer


class Failures:
    """An observer of the writer, before another one."""

    def __init__(self, observer: Observer, reports: Reports) -> None:
        self._reports = reports
        self._observer = observer
        self.finishing = observer.finishing
        self.fenced = observer.fenced

    def recorded(self, ends: Sequence[tuple[End, State]]) -> None:
        for end, state in ends:
            if state is State.FAILED and isinstance(end.outcome, Failed) and end.slot.work is not None:
                self._reports.task_failed(failed_task(end.slot.work, end.outcome.fault))
        self._observer.recorded(ends)


def failed_task(work: Claimed, fault: Fault) -> FailedTask:
    return FailedTask(
        task_id=work.id,
        name=work.name,
        queue=work.queue,
        attempt=work.attempt,
        kind=str(fault.kind),
        code=fault.code,
        type=fault.type,
        message=fault.message,
        traceback=fault.traceback,
        request_id=work.request_id,
        trace_id=trace_id_of(work.traceparent),
    )
