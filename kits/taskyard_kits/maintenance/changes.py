"""Changes any number of tasks, in batches, at the rate that was asked for."""

from __future__ import annotations

import time
from uuid import UUID

from taskyard import TaskContext, TaskError
from taskyard.lifecycle.operations import Kind, Operation
from taskyard.store.persons import LOWEST

from .declarations import ChangeTasksParams, TasksChanged

_AT_ONCE = 1000
_LONGEST_PAUSE_SECONDS = 0.5
# Before its soft limit an attempt leaves the rest to the next one.
_RESERVE_SECONDS = 60.0
_STAGES = {
    Kind.CANCEL: "Cancelling tasks",
    Kind.RETRY: "Running tasks again",
    Kind.DISCARD: "Discarding dead letters",
    Kind.RESTORE: "Restoring dead letters",
}


class Changes:
    """For one attempt."""

    def __init__(self, context: TaskContext, params: ChangeTasksParams) -> None:
        self._context = context
        self._kind = Kind(params.action)
        self._conditions = params.filter.model_dump(exclude_none=True)
        self._per_second = params.per_second
        # A second's worth, so that a slow rate is not a burst and a long pause.
        self._limit = _AT_ONCE if params.per_second is None else max(1, min(_AT_ONCE, int(params.per_second)))

    def run(self) -> TasksChanged:
        """Raises TaskError."""
        with self._context.shield:
            operation = self._context.upkeep.operation(self._context.task_id, self._kind, self._conditions)
        if operation is None:
            raise TaskError("operation_not_asked", retryable=False)
        with self._context.shield:
            total = operation.changed + self._context.upkeep.count_for(operation)
        return self._change_all(operation, total)

    def _change_all(self, operation: Operation, total: int) -> TasksChanged:
        changed, skipped = operation.changed, 0
        behind: UUID | None = LOWEST
        while behind is not None:
            self._context.check_cancelled()
            if self._context.seconds_left < _RESERVE_SECONDS:
                raise TaskError("operation_goes_on", changed=changed)
            began = time.monotonic()
            with self._context.shield:
                batch = self._context.upkeep.change_tasks(
                    operation, behind=behind, per_second=self._per_second, limit=self._limit
                )
            changed += batch.changed
            skipped += batch.chosen - batch.changed
            behind = batch.last
            self._context.progress(changed + skipped, max(total, changed + skipped), _STAGES[self._kind])
            if behind is not None:
                self._pause(began, batch.chosen)
        return TasksChanged(changed=changed, skipped=skipped)

    def _pause(self, began: float, chosen: int) -> None:
        """Until the rate allows the next batch; without a rate as long as the last one took, which leaves others half
        of the time."""
        now = time.monotonic()
        until = now + min(now - began, _LONGEST_PAUSE_SECONDS)
        if self._per_second is not None:
            until = began + chosen / self._per_second
        while (left := until - time.monotonic()) > 0:
            self._context.check_cancelled()
            time.sleep(min(left, _LONGEST_PAUSE_SECONDS))
