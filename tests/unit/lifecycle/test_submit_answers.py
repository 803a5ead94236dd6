"""submit: what is answered and announced without reading the rows back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from taskyard.lifecycle import submit
from tests.support.ledger import new_task


class OnlyRead(list[Any]):
    def __contains__(self, one: object) -> bool:
        raise AssertionError("each task would be looked for in all that wait")


def test_tasks_that_wait_for_a_limit_are_told_apart_without_a_search_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [new_task() for _ in range(40)]
    answered = (len(tasks), datetime.now(UTC), 1, OnlyRead(task.id for task in tasks[1:]))
    monkeypatch.setattr(submit._AT_ONCE, "one", lambda conn, batch: answered)
    done = submit.submit(cast(Any, None), tasks)
    assert [p.task_id for p in done.publications] == [tasks[0].id]
    assert done.wakes_scheduler
