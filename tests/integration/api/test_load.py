"""What an autoscaler reads: right at this moment, before the first task, without a scheduler and without a worker."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from taskyard.lifecycle.limits import Granting
from taskyard.store import fleet
from taskyard.store.ledger import run_transaction
from taskyard_api import load_answers
from taskyard_scheduler.depth import Depth
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker


def load(api: Api, path: str = "/api/v1/queues/default/load") -> dict[str, Any]:
    answer = api.http.get(path)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def numbers(found: dict[str, Any]) -> tuple[int, int, int]:
    return found["waiting"], found["running"], found["total"]


def test_before_the_first_task_and_the_first_worker_there_is_no_work(start_api: Callable[..., Api]) -> None:
    api = start_api(registered=False, queues="default,later")
    assert numbers(load(api, "/api/v1/queues/later/load")) == (0, 0, 0)
    found = load(api, "/api/v1/load?queues=later,default")
    assert (found["queues"], found["total"], found["workers"]) == (["default", "later"], 0, 0)


def test_work_is_counted_as_soon_as_it_is_accepted_while_no_scheduler_leads(api: Api) -> None:
    began = datetime.now(UTC)
    worker, tasks = Worker(api.engine), [api.submit()["id"] for _ in range(3)]
    worker.begin(tasks[0])
    found = load(api)
    load_answers.QueueLoad.model_validate_json(api.http.get("/api/v1/queues/default/load").content)
    assert (found["queue"], *numbers(found)) == ("default", 2, 1, 3)
    assert found["workers"] >= 1
    assert datetime.fromisoformat(found["counted_at"]) > began - timedelta(seconds=5)
    worker.end(tasks[0])
    assert numbers(load(api)) == (2, 0, 2)


def test_delayed_tasks_count_from_their_time_on_and_steps_that_need_others_do_not(api: Api) -> None:
    later = api.submit(delay_seconds=3600)["id"]
    echo = {"name": "diagnostics.echo", "params": {"value": 1}}
    flow = {"steps": {"a": echo, "b": {**echo, "needs": ["a"]}}}
    assert api.http.post("/api/v1/workflows", json=flow).status_code == 202
    assert numbers(load(api)) == (1, 0, 1)
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE task SET due_at = now() WHERE id = :id"), {"id": later})
    assert numbers(load(api)) == (2, 0, 2)


def test_a_worker_that_serves_several_queues_asks_once(api: Api) -> None:
    for queue in ("default", "low_priority", "low_priority", "selection"):
        api.submit(queue=queue)
    found = load(api, "/api/v1/load?queues=low_priority,default,default")
    load_answers.QueuesLoad.model_validate(found, strict=False)
    assert (found["queues"], found["total"]) == (["default", "low_priority"], 3)
    assert load(api, "/api/v1/load")["total"] == 4
    assert api.client(api.key("read", queues=["selection"])).get("/api/v1/load").json()["total"] == 1


def test_what_waits_in_a_paused_queue_starts_no_worker(api: Api) -> None:
    worker, tasks = Worker(api.engine), [api.submit()["id"] for _ in range(2)]
    worker.begin(tasks[0])
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE queue SET paused_at = now() WHERE name = 'default'"))
    assert numbers(load(api)) == (0, 1, 1)


def test_what_waits_for_a_limit_starts_no_worker(api: Api) -> None:
    for _ in range(3):
        api.submit(limits={"key": "crm", "concurrent": 1})
    api.submit()
    assert numbers(load(api)) == (1, 0, 1)
    run_transaction(api.engine, Granting().turn)
    assert numbers(load(api)) == (2, 0, 2)


def test_the_others_of_a_queue_where_many_wait_for_limits_are_those_of_the_last_count(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "MOST_COUNTED", 2)
    for _ in range(3):
        api.submit(limits={"key": "crm", "concurrent": 1})
        api.submit()
    assert numbers(load(api)) == (0, 0, 0)
    with api.engine.connect() as conn:
        Depth.snapshot(conn)
    assert numbers(load(api)) == (2, 0, 2)


def test_a_queue_is_counted_up_to_the_bound(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "MOST_COUNTED", 2)
    for _ in range(3):
        api.submit()
    assert numbers(load(api)) == (2, 0, 2)


def test_a_misspelt_queue_is_an_error_and_not_a_queue_without_work(api: Api) -> None:
    for path in ("/api/v1/queues/defualt/load", "/api/v1/load?queues=default,defualt"):
        answer = api.http.get(path)
        assert (answer.status_code, "no queue defualt" in answer.json()["detail"]) == (404, True)
    restricted = api.client(api.key("read", queues=["selection"]))
    assert restricted.get("/api/v1/queues/default/load").status_code == 404
    assert api.http.get("/api/v1/load?queues=").status_code == 422
    assert api.client(api.key("submit")).get("/api/v1/load").status_code == 403
