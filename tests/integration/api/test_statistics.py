"""What the API tells of attempts over time, of queues and workers, and of failures in groups."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from taskyard.domain.statistics import Window
from taskyard.domain.tasks import Failed, Fault, Outcome, RetryIn, Succeeded
from taskyard.store import ledger
from taskyard_api import statistics_models as models
from taskyard_client import AsyncClient, Client
from taskyard_scheduler.statistics import count_page
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker

FAULT = Fault("boom", "It went wrong.", "ValueError", retryable=True, place="billing.invoices:send")


def count(api: Api) -> None:
    """As the leader does."""
    with api.engine.connect() as conn:
        upto = conn.scalar(sa.text("SELECT coalesce(max(id), 0) FROM task_attempt"))
    while ledger.run_transaction(api.engine, lambda conn: count_page(conn, upto=upto, page=1000)):
        pass


def run(api: Api, outcome: Outcome, **more: Any) -> str:
    task = str(api.submit(**more)["id"])
    execute(api, "UPDATE task SET queued_at = now() - interval '1 minute' WHERE id = :id", id=UUID(task))
    worker = Worker(api.engine)
    worker.begin(task)
    worker.end(task, outcome)
    count(api)
    return task


def execute(api: Api, sql: str, **values: Any) -> None:
    with api.engine.connect() as conn:
        conn.execute(sa.text(sql), values)


def statistics(api: Api, key: str | None = None, **query: str) -> dict[str, Any]:
    client = api.http if key is None else api.client(key)
    answer = client.get("/api/v1/statistics", params=query)
    assert answer.status_code == 200, answer.text
    models.StatisticsShown.model_validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("window", list(Window))
def test_attempts_are_told_by_outcome_and_point_with_their_times(api: Api, window: Window) -> None:
    for outcome in (Succeeded({}), Succeeded({}), Failed(FAULT), RetryIn(FAULT, timedelta(hours=1))):
        run(api, outcome)
    found = statistics(api, window=window)
    assert len(found["points"]) == window.length // window.step
    assert found["step_seconds"] == window.step.total_seconds()
    totals = found["totals"]
    assert (totals["succeeded"], totals["failed"], totals["retried"]) == (2, 1, 1)
    assert sum(point["succeeded"] for point in found["points"][-2:]) == 2, "the minute may have changed"
    assert totals["run"]["mean"] == pytest.approx(0.1, abs=0.001)
    assert totals["run"]["p50"] == totals["run"]["p99"] == pytest.approx(0.1, rel=0.19)
    assert totals["wait"]["p50"] == pytest.approx(60, rel=0.19)
    (of_type,) = found["types"]
    assert (of_type["name"], of_type["failed_share"]) == ("diagnostics.echo", 0.3333)
    assert {name: of_type[name] for name in totals} == totals
    assert found["errors"] == [{"name": "diagnostics.echo", "code": "boom", "failures": 2}]


def test_statistics_of_nothing_are_zeros(api: Api) -> None:
    found = statistics(api)
    assert found["totals"]["succeeded"] == 0
    assert set(found["totals"]["run"].values()) == {None}
    assert (found["types"], found["errors"], len(found["points"])) == ([], [], 60)


def test_statistics_can_be_limited_to_a_type_and_a_queue(api: Api) -> None:
    run(api, Failed(FAULT))
    run(api, Succeeded({}), queue="low_priority")
    assert statistics(api)["totals"]["succeeded"] == 1
    assert statistics(api, queue="default")["totals"]["succeeded"] == 0
    assert statistics(api, queue="low_priority")["errors"] == []
    assert statistics(api, name="diagnostics.echo")["totals"]["failed"] == 1
    assert statistics(api, name="email.send")["types"] == []
    assert api.http.get("/api/v1/statistics?window=year").status_code == 422


def test_a_key_is_told_the_statistics_of_its_queues_only(api: Api) -> None:
    run(api, Failed(FAULT))
    run(api, Succeeded({}), queue="low_priority")
    key = api.key("read", queues=["low_priority"])
    found = statistics(api, key)
    assert (found["totals"]["succeeded"], found["totals"]["failed"], found["errors"]) == (1, 0, [])
    assert statistics(api, key, queue="default")["types"] == []


def test_the_depth_of_a_queue_is_told_over_time(api: Api) -> None:
    execute(
        api,
        "INSERT INTO queue_sample (queue, span, at, state, samples, total, most) VALUES"
        " ('default', 'day', date_bin('15 minutes', now(), '1970-01-01T00:00:00Z'), 'queued', 4, 10, 7)",
    )
    answer = api.http.get("/api/v1/queues/default/history?window=day")
    models.QueueHistory.model_validate_json(answer.content)
    points = answer.json()["points"]
    assert len(points) == 96
    assert {"queued": {"average": 2.5, "most": 7}} in [point["depth"] for point in points[-2:]]
    assert points[0]["depth"] == {}
    assert len(api.http.get("/api/v1/queues/low_priority/history").json()["points"]) == 60
    restricted = api.client(api.key("read", queues=["low_priority"]))
    assert restricted.get("/api/v1/queues/default/history").status_code == 404


def test_memory_and_load_of_a_worker_are_told_over_time(api: Api) -> None:
    worker = Worker(api.engine).id
    for ago, memory in ((0, 100), (1, 300)):
        execute(
            api,
            "INSERT INTO worker_sample VALUES (:id, date_trunc('minute', now()) - :ago * interval '1 minute', :m, 2)",
            id=worker,
            ago=ago,
            m=memory,
        )
    answer = api.http.get(f"/api/v1/workers/{worker}/history")
    models.WorkerHistory.model_validate_json(answer.content)
    sampled = [point for point in answer.json()["points"] if point["memory_bytes"] is not None]
    assert [(point["memory_bytes"], point["running"]) for point in sampled] == [(300, 2.0), (100, 2.0)]
    assert api.http.get(f"/api/v1/workers/{uuid4()}/history").status_code == 404
    restricted = api.client(api.key("read", queues=["elsewhere"]))
    assert restricted.get(f"/api/v1/workers/{worker}/history").status_code == 404


# Groups of failures


def errors(api: Api, key: str | None = None, **query: Any) -> list[dict[str, Any]]:
    answer = (api.http if key is None else api.client(key)).get("/api/v1/errors", params=query)
    assert answer.status_code == 200, answer.text
    models.ErrorPage.model_validate_json(answer.content)
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_a_group_has_its_newest_failure_its_counts_and_its_tasks(api: Api) -> None:
    first, last = run(api, Failed(FAULT)), run(api, RetryIn(FAULT, timedelta(hours=1)))
    (group,) = errors(api)
    assert (group["name"], group["code"], group["place"]) == ("diagnostics.echo", "boom", "billing.invoices:send")
    assert (group["state"], group["failures"], group["last_task_id"]) == ("open", 2, last)
    assert (group["message"], group["counts"]) == ("It went wrong.", None)
    for window in Window:
        (counted,) = errors(api, window=window)
        assert (len(counted["counts"]), sum(counted["counts"][-2:])) == (window.length // window.step, 2)
        answer = api.http.get(f"/api/v1/errors/{group['id']}", params={"window": window})
        found = models.ErrorShown.model_validate_json(answer.content)
        assert sum(point.failures for point in found.points) == 2
        assert [(str(task.id), task.state) for task in found.tasks] == [(last, "retrying"), (first, "failed")]
    assert api.http.get(f"/api/v1/errors/{uuid4()}").status_code == 404


def test_the_place_is_told_by_the_group_and_not_by_the_task(api: Api) -> None:
    error = api.http.get(f"/api/v1/tasks/{run(api, Failed(FAULT))}").json()["error"]
    assert error["code"] == "boom"
    assert "place" not in error


def test_the_list_is_filtered_and_paged(api: Api) -> None:
    for code in ("a", "b", "c", "d"):
        run(api, Failed(Fault(code, "", "E", retryable=True)), queue="low_priority" if code == "d" else "default")
    assert [group["code"] for group in errors(api)] == ["d", "c", "b", "a"], "seen last first"
    assert [group["code"] for group in errors(api, code="b")] == ["b"]
    assert [group["code"] for group in errors(api, queue="low_priority", name="diagnostics.echo")] == ["d"]
    assert errors(api, name="email.send") == errors(api, state="solved") == []
    assert errors(api)[0]["place"] is None
    found, cursor = [], None
    while True:
        page = api.http.get("/api/v1/errors", params={"limit": 1} | ({"cursor": cursor} if cursor else {})).json()
        found += [group["code"] for group in page["items"]]
        if len(found) == 2:  # seen again while somebody pages through
            run(api, Failed(Fault("c", "", "E", retryable=True)))
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == ["d", "c", "b", "a"]
    assert len(errors(api, cursor="_" * 22)) == 4, "made up, and beyond all times"


def test_a_group_is_solved_comes_back_and_is_reopened(api: Api) -> None:
    run(api, Failed(FAULT))
    address = f"/api/v1/errors/{errors(api)[0]['id']}"
    key = {"Idempotency-Key": "once"}
    solved = [api.http.post(f"{address}/solve", headers=key) for _ in range(2)]
    assert [answer.status_code for answer in solved] == [200, 200]
    shown = models.ErrorGroup.model_validate_json(solved[0].content)
    assert (shown.state, shown.solved_by) == ("solved", api.http.get("/api/v1/audit").json()["items"][0]["actor"])
    assert api.http.post(f"{address}/solve").json()["solved_at"] == solved[0].json()["solved_at"], "nothing changed"
    run(api, Failed(FAULT))
    (group,) = errors(api, state="returned")
    assert group["returned_at"] > group["solved_at"]
    assert api.http.post(f"{address}/solve").json()["state"] == "solved", "again"
    assert api.http.post(f"{address}/reopen").json()["state"] == "open"
    assert api.http.post(f"{address}/reopen").json()["solved_at"] is None
    rows = api.http.get("/api/v1/audit", params={"target": group["id"]}).json()["items"]
    assert [row["action"] for row in rows] == ["error.reopen", "error.solve", "error.solve"]
    assert api.client(api.key("read")).post(f"{address}/solve").status_code == 403


def test_a_key_sees_and_solves_the_groups_of_its_queues_only(api: Api) -> None:
    run(api, Failed(FAULT))
    run(api, Failed(FAULT), queue="low_priority")
    key = api.key("read", "manage", queues=["low_priority"])
    (mine,) = errors(api, key)
    assert mine["queue"] == "low_priority"
    (other,) = errors(api, queue="default")
    client = api.client(key)
    assert client.get(f"/api/v1/errors/{other['id']}").status_code == 404
    assert client.post(f"/api/v1/errors/{other['id']}/solve").status_code == 404
    assert client.post(f"/api/v1/errors/{mine['id']}/solve").status_code == 200
    assert [group["state"] for group in errors(api, queue="default")] == ["open"]


def test_what_was_said_of_a_failure_goes_with_its_attempt(api: Api) -> None:
    """Erasing a person and retention change attempts; groups hold no copy."""
    task = run(api, Failed(FAULT))
    execute(
        api, 'UPDATE task_attempt SET error = error || \'{"message": "erased"}\' WHERE task_id = :id', id=UUID(task)
    )
    assert errors(api)[0]["message"] == "erased"
    execute(api, "DELETE FROM task_attempt")
    execute(api, "DELETE FROM task")
    (group,) = errors(api)
    assert (group["message"], group["failures"]) == (None, 1)
    assert api.http.get(f"/api/v1/errors/{group['id']}").json()["tasks"] == []
    assert datetime.fromisoformat(group["last_seen_at"]) < datetime.now(UTC) + timedelta(minutes=1)


# The client


def test_the_client_has_these_calls(api: Api) -> None:
    worker = Worker(api.engine).id
    run(api, Failed(FAULT))
    run(api, Failed(FAULT), queue="low_priority")
    with Client(api.url, api.key("admin")) as client:
        assert client.statistics("day", name="diagnostics.echo").totals.failed == 2
        assert client.statistics(queue="low_priority").errors[0].code == "boom"
        assert len(client.queues.history("default").points) == 60
        assert client.workers.history(worker, "month").worker_id == worker
        groups = list(client.errors.items(name="diagnostics.echo"))
        assert [group.queue for group in groups] == ["low_priority", "default"]
        first = client.errors.page(limit=1)
        assert client.errors.page(limit=1, cursor=first.next_cursor).items == groups[1:]
        assert client.errors.get(groups[0].id, "month").tasks[0].state == "failed"
        assert client.errors.solve(groups[0].id).state == "solved"
        assert client.errors.reopen(groups[0].id).state == "open"


def test_the_client_for_coroutines_has_these_calls(api: Api) -> None:
    worker = Worker(api.engine).id
    run(api, Failed(FAULT))

    async def calls() -> None:
        async with AsyncClient(api.url, api.key("admin")) as client:
            assert (await client.statistics()).totals.failed == 1
            assert len((await client.queues.history("default", "day")).points) == 96
            assert (await client.workers.history(worker)).worker_id == worker
            (group,) = [group async for group in client.errors.items(state="open")]
            assert sum(point.failures for point in (await client.errors.get(group.id)).points) == 1
            assert (await client.errors.solve(group.id)).state == "solved"
            assert (await client.errors.reopen(group.id)).state == "open"

    asyncio.run(calls())
