"""Workflows over HTTP: what is accepted, what is refused and where, and what is shown."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from taskyard.domain.tasks import Failed, Succeeded
from taskyard.lifecycle import sweeps
from taskyard.store import ledger
from taskyard_client import AsyncClient, WaitTimedOut, chain, previous, step
from tests.integration.api.conftest import Api
from tests.integration.api.worker import FAULT, Worker

PATH = "/api/v1/workflows"
ECHO = "diagnostics.echo"


def echo(value: Any = 1, *needs: str, **more: Any) -> dict[str, Any]:
    return {"name": ECHO, "params": {"value": value}, **({"needs": [*needs]} if needs else {}), **more}


def start(api: Api, steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = api.http.post(PATH, json={"steps": steps, **more})
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    return made


def ids(flow: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["task_id"] for step in flow["steps"]}


def errors(api: Api, body: Any) -> dict[str, str]:
    answer = api.http.post(PATH, json=body)
    assert answer.status_code == 422, answer.text
    return {error["pointer"]: error["message"] for error in answer.json()["errors"]}


def test_a_workflow_is_accepted_read_and_run_to_its_end(api: Api) -> None:
    flow = start(api, {"b": echo({"$result": "a.value"}, "a"), "a": echo(7)}, name="two")
    assert [(s["name"], s["state"], s["needs"]) for s in flow["steps"]] == [
        ("a", "queued", []),
        ("b", "blocked", ["a"]),
    ]
    assert flow["state"] == "running"
    assert flow["progress"]["total"] == 2
    worker, at = Worker(api.engine), ids(flow)
    worker.begin(at["a"])
    worker.end(at["a"], Succeeded({"value": 7}))
    worker.begin(at["b"])
    worker.end(at["b"])
    read = api.http.get(f"{PATH}/{flow['id']}").json()
    assert (read["state"], read["progress"]["percent"], read["name"]) == ("succeeded", 100, "two")
    tasks = api.http.get("/api/v1/tasks", params={"workflow_id": flow["id"]}).json()["items"]
    assert {task["id"] for task in tasks} == set(at.values())
    listed = api.http.get(PATH, params={"state": "succeeded"}).json()["items"]
    assert [one["id"] for one in listed] == [flow["id"]]


def test_what_is_wrong_with_a_graph_is_told_by_pointer(api: Api) -> None:
    assert list(errors(api, {"steps": {"a": echo(1, "b"), "b": echo(1, "a")}})) == ["/steps/a/needs"]
    assert list(errors(api, {"steps": {"a": echo(1, "x")}})) == ["/steps/a/needs/0"]
    assert list(errors(api, {"steps": {}})) == ["/steps"]
    assert list(errors(api, {"steps": {"a b": echo()}})) == ["/steps"]
    assert list(errors(api, {"steps": {"a": {"name": "no.such_type"}}})) == ["/steps/a/name"]
    assert list(errors(api, {"steps": {"a": {**echo(), "unique": {"key": "k", "while": "active"}}}})) == [
        "/steps/a/unique"
    ]
    wrong = errors(api, {"steps": {"a": echo(1, "a")}})
    assert "a → a" in wrong["/steps/a/needs"]


@pytest.mark.parametrize("text", ["x", "x.value", "b.value", "a..v", "a[x]", "", 5])
def test_a_reference_that_leads_nowhere_is_refused_at_its_place(api: Api, text: Any) -> None:
    steps = {"a": echo(), "b": echo(), "c": echo({"deep": [{"$result": text}]}, "a")}
    assert list(errors(api, {"steps": steps})) == ["/steps/c/params/value/deep/0"]


def test_a_reference_may_lead_to_a_step_that_comes_before_by_way_of_others(api: Api) -> None:
    start(api, {"a": echo(), "b": echo(1, "a"), "c": echo({"$result": "a"}, "b")})


def test_a_reference_fits_where_the_type_wants_anything_and_the_rest_is_checked(api: Api) -> None:
    mail = {"to_email": {"$result": "a.to"}, "subject": "x", "text": "y"}
    start(api, {"a": echo(), "m": {"name": "email.send", "params": mail, "needs": ["a"]}})
    wrong = {"a": echo(), "m": {"name": "email.send", "params": {**mail, "subject": 5}, "needs": ["a"]}}
    assert list(errors(api, {"steps": wrong})) == ["/steps/m/params/subject"]


def test_the_same_key_gives_the_first_answer_again(api: Api) -> None:
    body, headers = {"steps": {"a": echo()}}, {"Idempotency-Key": "flow-1"}
    first = api.http.post(PATH, json=body, headers=headers)
    again = api.http.post(PATH, json=body, headers=headers)
    assert (first.status_code, again.json()) == (202, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert api.count_tasks() == 1


def test_retry_runs_what_did_not_succeed_and_is_refused_before_the_end(api: Api) -> None:
    flow = start(api, {"a": echo(), "b": echo(1, "a"), "c": echo(1, "b")}, on_failure="continue")
    worker, at = Worker(api.engine), ids(flow)
    assert api.http.post(f"{PATH}/{flow['id']}/retry").status_code == 409
    worker.begin(at["a"])
    worker.end(at["a"])
    worker.begin(at["b"])
    worker.end(at["b"], Failed(FAULT))
    sweep(api)
    assert api.http.get(f"{PATH}/{flow['id']}").json()["state"] == "failed"
    again = api.http.post(f"{PATH}/{flow['id']}/retry")
    assert again.status_code == 202, again.text
    assert {s["name"]: s["state"] for s in again.json()["steps"]} == {"a": "succeeded", "b": "queued", "c": "blocked"}
    worker.begin(at["b"])
    worker.end(at["b"])
    worker.begin(at["c"])
    worker.end(at["c"])
    assert api.http.get(f"{PATH}/{flow['id']}").json()["state"] == "succeeded"
    kinds = [event["kind"] for event in api.http.get(f"{PATH}/{flow['id']}/events").json()["items"]]
    assert kinds == ["submitted", "step", "step", "step", "failed", "retried", "step", "step", "succeeded"]


def sweep(api: Api) -> None:
    while ids := ledger.run(api.engine, sweeps.marked):
        ledger.run_transaction(api.engine, partial(sweeps.sweep, workflow_id=ids[0]))


def test_cancel_ends_what_waits_and_is_in_the_audit_log(api: Api) -> None:
    flow = start(api, {"a": echo(), "b": echo(1, "a")})
    answer = api.http.post(f"{PATH}/{flow['id']}/cancel")
    assert answer.status_code == 202, answer.text
    sweep(api)
    read = api.http.get(f"{PATH}/{flow['id']}").json()
    assert (read["state"], [s["state"] for s in read["steps"]]) == ("cancelled", ["cancelled", "cancelled"])
    assert api.http.post(f"{PATH}/{flow['id']}/cancel").json()["state"] == "cancelled"
    rows = api.http.get("/api/v1/audit", params={"action": "workflow.cancel"}).json()["items"]
    assert [row["target"]["id"] for row in rows] == [flow["id"]]


def test_a_restricted_key_sees_a_workflow_only_where_it_has_all_of_its_queues(api: Api) -> None:
    flow = start(api, {"a": echo(), "b": echo(1, "a", queue="low_priority")})
    part = api.client(api.key("read", "submit", "manage", queues=["default"]))
    assert part.get(f"{PATH}/{flow['id']}").status_code == 404
    assert part.get(f"{PATH}/{flow['id']}/events").status_code == 404
    assert part.post(f"{PATH}/{flow['id']}/cancel").status_code == 404
    assert part.get(PATH).json()["items"] == []
    assert part.post(PATH, json={"steps": {"a": echo(queue="low_priority")}}).status_code == 403
    assert part.post(PATH, json={"steps": {"a": echo()}}).status_code == 202


def test_a_key_without_read_is_told_no_more_than_the_state(api: Api) -> None:
    answer = api.client(api.key("submit")).post(PATH, json={"steps": {"a": echo()}})
    assert set(answer.json()) <= {"id", "state", "created_at", "warnings"}


def test_steps_are_shown_in_pages(api: Api) -> None:
    steps = {"head": echo(), **{f"s{n}": echo(n, "head") for n in range(120)}}
    flow = start(api, steps)
    found, cursor = [], None
    while True:
        page = api.http.get(
            f"{PATH}/{flow['id']}", params={"limit": 50, **({"cursor": cursor} if cursor else {})}
        ).json()
        found += [step["name"] for step in page["steps"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(found) == len(set(found)) == 121
    assert found[0] == "head"


def test_the_stream_of_a_workflow_tells_each_step_and_closes_behind_the_end(api: Api) -> None:
    flow = start(api, {"a": echo(), "b": echo(1, "a")})
    worker, at = Worker(api.engine), ids(flow)
    headers = {"Accept": "text/event-stream"}
    for name in ("a", "b"):
        worker.begin(at[name])
        worker.end(at[name])
    with api.http.stream("GET", f"{PATH}/{flow['id']}/events", headers=headers) as answer:
        text = answer.read().decode()
    kinds = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert kinds == ["submitted", "step", "step", "succeeded"]
    last = [line.removeprefix("id: ") for line in text.splitlines() if line.startswith("id: ")][-1]
    assert api.http.get(f"{PATH}/{flow['id']}/events", headers={**headers, "Last-Event-ID": last}).status_code == 204


def test_ten_thousand_steps_are_one_request(api: Api) -> None:
    steps = {f"s{n}": echo(n) for n in range(9_999)}
    steps["join"] = echo(1, *steps)
    answer = api.http.post(PATH, json={"steps": steps}, timeout=60)
    assert answer.status_code == 202, answer.text
    assert answer.json()["progress"]["total"] == 10_000
    assert errors(api, {"steps": {**steps, "more": echo()}})["/steps"]


def test_the_async_client_starts_waits_for_and_cancels_workflows(api: Api) -> None:
    async def talk() -> list[str]:
        async with AsyncClient(api.url, api.key("admin")) as client:
            flow = await client.start(chain(step(ECHO, {"value": 1}), step(ECHO, {"value": previous("value")})))
            names = [one.name async for one in client.workflow_steps(flow.id)]
            with pytest.raises(WaitTimedOut):
                await client.wait_workflow(flow.id, timeout=0.2)
            await client.cancel_workflow(flow.id)
            await asyncio.to_thread(sweep, api)
            found = await client.wait_workflow(flow.id, timeout=10)
            return [*names, found.state, (await client.retry_workflow(flow.id)).state]

    assert asyncio.run(talk()) == ["echo", "echo-2", "cancelled", "running"]


def test_a_retry_of_a_cancelled_workflow_whose_steps_had_all_succeeded_says_so(api: Api) -> None:
    flow = start(api, {"a": echo()})
    worker, at = Worker(api.engine), ids(flow)
    worker.begin(at["a"])
    assert api.http.post(f"{PATH}/{flow['id']}/cancel").status_code == 202
    worker.end(at["a"])
    before = api.http.get(f"{PATH}/{flow['id']}").json()
    assert before["state"] == "cancelled"
    refused = api.http.post(f"{PATH}/{flow['id']}/retry")
    assert (refused.status_code, refused.json()["state"]) == (409, "cancelled")
    assert refused.json()["detail"] == "Every step has succeeded, so there is nothing to run again."
    assert api.http.get(f"{PATH}/{flow['id']}").json() == before
