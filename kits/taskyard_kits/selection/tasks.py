"""selection.run_select: a panel is drawn by lot from people, so that it meets quotas."""

from __future__ import annotations

from datetime import timedelta

from taskyard import TaskContext, TaskError, task

from .declarations import RunSelectParams, RunSelectResult
from .rules import DRAW_RULE
from .words import PHRASES, RUN_SELECT_ERRORS


@task(
    "selection.run_select",
    queue="selection",
    soft_limit=timedelta(minutes=59),
    hard_limit=timedelta(minutes=60),
    rules=(DRAW_RULE,),
    errors=RUN_SELECT_ERRORS,
    phrases=PHRASES,
)
def run_select(params: RunSelectParams, *, context: TaskContext) -> RunSelectResult:
    """Draws a panel by lot that meets quotas, and stores the selected and the remaining people."""
    raise TaskError("draw_failed", reason="not yet written")
