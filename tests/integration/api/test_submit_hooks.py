"""TASKYARD_SUBMIT_HOOKS: hooks hear of submits over HTTP, and change no answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskyard.running.hooks import Hook, Submit
from taskyard_api.composition import build
from tests.integration.api.conftest import Api

ECHO = {"name": "diagnostics.echo", "params": {"value": 1}}
SETTING = (f"{__name__}:Heard",)

heard: list[tuple[str, str]] = []
errors: list[BaseException] = []


class Heard(Hook):
    def before_submit(self, task: Submit) -> None:
        self._keep("before", task)

    def after_submit(self, task: Submit) -> None:
        self._keep("after", task)

    def _keep(self, moment: str, task: Submit) -> None:
        heard.append((moment, str(task.task_id)))
        for error in errors:
            raise error


@pytest.fixture(autouse=True)
def nothing_heard() -> Iterator[None]:
    heard.clear()
    errors.clear()
    yield
    errors.clear()


@pytest.mark.parametrize("more", [{}, {"unique": {"key": "k", "while": "active"}}])
def test_hooks_hear_of_a_task_before_and_after_its_submit(start_api: Callable[..., Api], more: dict[str, Any]) -> None:
    api = start_api(submit_hooks=SETTING)
    task = api.submit(**more)
    assert heard == [("before", task["id"]), ("after", task["id"])]


def test_a_batch_is_heard_of_task_by_task(start_api: Callable[..., Api]) -> None:
    api = start_api(submit_hooks=SETTING)
    answer = api.http.post("/api/v1/tasks/batch", json={"tasks": [ECHO, ECHO]})
    assert answer.status_code == 202
    ids = [item["id"] for item in answer.json()["items"]]
    assert heard == [*(("before", i) for i in ids), *(("after", i) for i in ids)]


def test_hooks_hear_nothing_of_a_refused_submit_and_once_of_a_repeated_one(start_api: Callable[..., Api]) -> None:
    api = start_api(submit_hooks=SETTING)
    assert api.http.post("/api/v1/tasks", json={**ECHO, "priority": 1}).status_code == 422
    assert heard == []
    for _ in range(2):
        assert api.http.post("/api/v1/tasks", json=ECHO, headers={"Idempotency-Key": "one"}).status_code == 202
    assert [moment for moment, _ in heard].count("after") == 1


@pytest.mark.parametrize("error", [RuntimeError("of the hook"), SystemExit(3)])
def test_a_hook_that_raises_changes_no_answer_and_is_counted(
    start_api: Callable[..., Api], error: BaseException
) -> None:
    api = start_api(submit_hooks=SETTING)
    errors.append(error)
    api.submit()
    api.submit()
    assert api.count_tasks() == 2
    labels = {"hook": SETTING[0], "moment": "before_submit"}
    assert api.service.metrics.registry.get_sample_value("taskyard_hook_errors_total", labels) == 2.0


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("no_such_module:Hook", "ModuleNotFoundError: No module named 'no_such_module'"),
        (f"{__name__}:Gone", "AttributeError: "),
        ("builtins:dict", "TypeError: {} does not derive from taskyard.Hook"),
    ],
)
def test_a_hook_that_cannot_be_used_stops_the_api_with_one_line_that_names_the_setting(
    api: Api, place: str, said: str
) -> None:
    with pytest.raises(ValueError, match=r"^TASKYARD_SUBMIT_HOOKS: the hook ") as refused:
        build(api.settings.model_copy(update={"submit_hooks": (place,)}))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
