"""What the worker calls around runs."""

import logging

from taskyard import Hook
from taskyard.domain.tasks import Fault
from taskyard.running.hooks import Run

log = logging.getLogger(__name__)


class Failures(Hook):
    """Tells the accountants, who read the log, of every invoice that was not written."""

    def on_failure(self, run: Run, fault: Fault) -> None:
        # A hook hears of all tasks of its process, also those of other kits.
        if run.name.startswith("invoices."):
            log.warning("%s %s failed: %s", run.name, run.task_id, fault.code)
