"""submit: what is answered and announced without reading the rows back."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from taskyard.lifecycle import submit
from tests.support.ledger import new_task


def test_many_tasks_that_wait_for_a_limit_are_told_apart_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [new_task() for _ in range(4000)]
    waiting = [task.id for task in tasks[1:]]
    answered = (len(tasks), datetime.now(UTC), 1, waiting)
    monkeypatch.setattr(submit._AT_ONCE, "one", lambda conn, batch: answered)
    began = time.thread_time()
    done = submit.submit(cast(Any, None), tasks)
    assert time.thread_time() - began < 0.2, "half a second where each is looked for in a list"
    assert [p.task_id for p in done.publications] == [tasks[0].id]
    assert done.wakes_scheduler
