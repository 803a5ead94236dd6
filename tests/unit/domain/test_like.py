"""A task like another one: only what is given differs."""

from dataclasses import fields, replace
from typing import Any

from taskyard.domain.ids import new_id
from taskyard.domain.new_tasks import NewTask


def test_all_but_what_is_given_is_kept() -> None:
    every: dict[str, Any] = {field.name: object() for field in fields(NewTask)}
    task, task_id = NewTask(**every), new_id()
    made = task.like(task_id, {"a": 1}, "r", "t")
    assert made == replace(task, id=task_id, params={"a": 1}, request_id="r", traceparent="t")
    assert made is not task
