"""Task types as an application's own, whose callers come from Celery."""

from __future__ import annotations

import time
from typing import Any

from taskyard import TaskContext, task


@task("tests.invoice")
def invoice(zone: str, customer_reference: str, amount: int = 1, *, context: TaskContext) -> dict[str, Any]:
    return {"zone": zone, "customer_reference": customer_reference, "amount": amount}


@task("tests.slow")
def slow(seconds: float, *, context: TaskContext) -> str:
    context.progress(4, 10, "working")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        context.check_cancelled()
        time.sleep(0.05)
    return "done"
