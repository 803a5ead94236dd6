"""Who may see what: what is stored needs the scope `read`; a key that is restricted to queues sees what is of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import uuid4

import falcon.inspect
import httpx
import orjson
import pytest
import sqlalchemy as sa

from taskyard.domain.error_groups import Group
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed, Fault, Outcome, Succeeded
from taskyard.store import tree_items
from taskyard.store.tree_items import TreeItem
from taskyard_api import answers
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker
from tests.support.cases import one_in
from tests.support.fleet import wait_for
from tests.support.specs import register_worker, spec_named

MARKER = "jackdaw-7c31"
STORED = {"value": MARKER}
FAULT = Fault("boom", f"It hit {MARKER}.", MARKER, retryable=True, traceback=MARKER, values={"what": MARKER})
ITEMS = "/api/v1/tree-items"
HOOKS = "https://receiver.example"
USER = {"email": f"{MARKER}@example.org", "name": MARKER}
USAGE = {"events": [{"model": MARKER, "tokens": 1, "at": datetime.now(UTC).isoformat()}]}
SCHEDULE = {"name": MARKER, "task": {"name": "diagnostics.echo", "params": STORED}, "trigger": {"every_seconds": 3600}}
WITHOUT_READ = (("submit",), ("manage",), ("submit", "manage"))


def routes_of(api: Api) -> Iterator[tuple[str, str]]:
    """From the router itself: a new route is walked without a change here."""
    routes = falcon.inspect.inspect_compiled_router(api.service.app._router)
    found = [(method.method, route.path) for route in routes for method in route.methods if not method.internal]
    yield from sorted(found, key=lambda route: route[0] == "DELETE")  # last, so that there is something to read


class Stock:
    """Tasks in every state and an item, each with the marker in all that a caller or a task may write."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._worker = Worker(api.engine)
        self._endpoint = registered(api.http)
        self.dead = [self._begun(Failed(FAULT)) for _ in range(3)]
        self.tasks = [self._submit(), self._begun(), self._begun(Failed(FAULT)), self._begun(Succeeded(STORED))]
        headers = {"X-Filename": MARKER, "Content-Type": f"text/{MARKER}"}
        assert api.http.put("/api/v1/users/7", json=USER).status_code == 201
        assert api.http.post("/api/v1/usage-events", json=USAGE).status_code == 202
        self.runs = [self._begun(Failed(FAULT)), self._begun(Succeeded(STORED))]
        as_run(api, *self.runs)
        self.flows = [self._flow(), self._flow(Failed(FAULT)), self._flow(Succeeded(STORED))]
        self.schedule = str(api.http.post("/api/v1/schedules", json=SCHEDULE).json()["id"])
        self.error = failed_alike(api, self.dead[0])
        self.item = str(api.http.post(ITEMS, content=MARKER.encode(), headers=headers).json()["item_id"])

    def _begun(self, outcome: Outcome | None = None) -> str:
        task = self._submit()
        self._worker.begin(task)
        self._worker.progress(task, 1, 2, MARKER)
        self._worker.note(task, MARKER)
        if outcome is not None:
            self._worker.end(task, outcome)
        return task

    def _submit(self) -> str:
        body = {"name": "diagnostics.echo", "params": STORED, "tags": [MARKER], "callback_url": f"{HOOKS}/{MARKER}"}
        answer = self._api.http.post("/api/v1/tasks", json=body, headers={"X-Request-ID": MARKER})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def _flow(self, outcome: Outcome | None = None) -> str:
        """A workflow of one step."""
        step = {"name": "diagnostics.echo", "params": STORED, "tags": [MARKER]}
        body = {"name": MARKER, "steps": {MARKER: step}, "callback_url": f"{HOOKS}/{MARKER}"}
        flow = self._api.http.post("/api/v1/workflows", json=body, headers={"X-Request-ID": MARKER}).json()
        if outcome is not None:
            task = flow["steps"][0]["task_id"]
            self._worker.begin(task)
            self._worker.end(task, outcome)
        return str(flow["id"])

    def addresses(self, path: str) -> Iterator[str]:
        """The path with each of what its variables may stand for, and with what is not there."""
        known = {
            "task_id": [*self.tasks, str(uuid4())],
            "item_id": [self.item, str(uuid4())],
            "worker_id": [str(self._worker.id)],
            "endpoint_id": [self._endpoint, str(uuid4())],
            "user_id": ["7", "8"],
            "run_id": [*self.runs, self.tasks[0]],
            "workflow_id": [*self.flows, str(uuid4())],
            "schedule_id": [self.schedule, str(uuid4())],
            "group_id": [self.error, str(uuid4())],
            "key_id": [str(uuid4())],
            "name": ["diagnostics.echo", "default"],
        }
        names = re.findall(r"{(\w+)}", path)
        for values in product(*(known[name] for name in names)):
            yield path.format(**dict(zip(names, values, strict=True)))

    def bodies(self) -> list[dict[str, Any]]:
        """Of every call that takes one, right and wrong."""
        task = {"name": "diagnostics.echo", "params": STORED}
        unique = {"unique": {"key": str(uuid4()), "while": "active"}}
        return [
            {},
            {"json": task},
            {"json": {**task, **unique}},
            {"json": {**task, **unique}},  # the key is taken now
            {"json": {"tasks": [task, {**task, "tags": [MARKER]}]}},
            {"json": {"name": MARKER, "steps": {"a": task, "b": {**task, "needs": ["a"]}}}},
            {"json": {"name": MARKER, "steps": {"a": {**task, "needs": [MARKER], "params": {"$result": MARKER}}}}},
            {"json": {**task, "tags": [{"not": MARKER}], "max_attempts": MARKER, "run_at": MARKER}},
            {"json": {"name": "email.send", "params": {"to_email": MARKER, "subject": 1, "text": MARKER}}},
            {"json": {"name": "diagnostics.sleep", "params": {"seconds": MARKER}}},
            {"json": {"ids": self.dead, "dry_run": True}},
            {"json": {"filter": {"code": "boom"}, "dry_run": True}},
            {"json": {"ids": self.dead[:1]}},
            {"json": {"filter": {"tag": MARKER}, "dry_run": True}},
            {"json": {"ids": [self.tasks[1]]}},  # it runs, and goes on
            {"json": {"dry_run": True}},
            {"json": {"tags": [MARKER]}},
            {"json": {"queue": "low_priority"}},
            {"json": {"concurrent": 4}},
            {"json": {"width": 8, "height": 8}},
            {"json": USER},
            {"json": {**USER, "email": MARKER, "webhook_endpoint_id": MARKER}},
            {"json": {"user_id": 7}},
            {"json": {"processes": "2:8"}},
            {"json": {"processes": MARKER}},
            {"json": {**SCHEDULE, "name": f"{MARKER}-{uuid4()}"}},
            {"json": {**SCHEDULE, "trigger": {"cron": MARKER, "timezone": MARKER}}},
            {"json": {"kind": "run_select", "selection_params": MARKER, "tags": [MARKER]}},
            {"json": {"name": MARKER, "scopes": ["read"]}},
            {"json": {"action": "cancel", "filter": {"tag": MARKER}, "dry_run": True}},
            {"json": {"action": "discard", "filter": {"code": MARKER}}},
            {"json": USAGE},
            {"json": {"events": [{"model": MARKER, "tokens": MARKER, "at": MARKER}]}},
            {"content": MARKER, "headers": {"X-Filename": MARKER, "Content-Type": f"text/{MARKER}"}},
            {"files": {"file": (MARKER, MARKER.encode(), f"text/{MARKER}")}},
        ]


def as_run(api: Api, task: str, *gone: str) -> None:
    """Makes selection runs of tasks; those of `gone` are kept without their tasks."""
    with api.engine.begin() as conn:
        changed = sa.text("UPDATE task SET name = 'selection.run_select' WHERE id = ANY(CAST(:ids AS uuid[]))")
        conn.execute(changed, {"ids": [task, *gone]})
        conn.execute(sa.text("DELETE FROM task WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": [*gone]})


def failed_alike(api: Api, task: str) -> str:
    """The group of the task's failure, as the leader makes it."""
    group = Group("default", "diagnostics.echo", "boom", MARKER)
    made = sa.text(
        "INSERT INTO error_group (id, queue, name, code, place, failures, first_seen_at, last_seen_at, task_ids)"
        " VALUES (:id, :queue, :name, :code, :place, 1, now(), now(), ARRAY[CAST(:task AS uuid)])"
    )
    with api.engine.begin() as conn:
        conn.execute(made, {"id": group.id, **group._asdict(), "task": task})
    return str(group.id)


def registered(http: httpx.Client) -> str:
    return str(http.post("/api/v1/webhook-endpoints", json={"url": HOOKS}).json()["id"])


def ask(client: httpx.Client, method: str, address: str, given: dict[str, Any]) -> tuple[int, str]:
    """The status, and all that is told: streams until they are idle."""
    with client.stream(method, address, **given) as answer:
        if "event-stream" not in answer.headers.get("Content-Type", ""):
            answer.read()
            return answer.status_code, f"{answer.headers}{answer.text}"
        return answer.status_code, next(answer.iter_text(), "")


def walk(api: Api, client: httpx.Client, stock: Stock) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """What every route tells, each answer with an idempotency key and its repeat too."""
    told: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for method, path in routes_of(api):
        found = told.setdefault((method, path), [])
        for address, body in product(
            stock.addresses(path), stock.bodies() if method in {"POST", "PUT", "PATCH"} else [{}]
        ):
            key = {"Idempotency-Key": str(uuid4())}
            for extra in ({}, key, key, {"Accept": "text/event-stream"}) if body else ({}, key, key):
                given = {**body, "headers": {**body.get("headers", {}), **extra}}
                found.append(ask(client, method, address, given))
    return told


@pytest.mark.parametrize("scopes", one_in(3, zip(WITHOUT_READ, strict=True)), ids="+".join)
def test_nothing_that_is_stored_is_told_to_a_key_without_read(
    api: Api, scopes: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    stock = Stock(api)
    capfd.readouterr()
    told = walk(api, api.client(api.key(*scopes)), stock)
    shown = {(route, status) for route, found in told.items() for status, text in found if MARKER in text}
    assert not shown
    assert any(200 <= status < 300 for found in told.values() for status, _ in found), "it asked for nothing"
    assert MARKER not in "".join(capfd.readouterr()), "logged"


def test_a_key_with_read_is_told_what_is_stored_by_the_same_calls(api: Api) -> None:
    """What the walk without `read` must not find is there to be found."""
    told = walk(api, api.client(api.key("read", "submit", "manage")), Stock(api))
    shown = {route for route, found in told.items() if any(s < 300 and MARKER in text for s, text in found)}
    assert {
        ("GET", "/api/v1/workflows"),
        ("POST", "/api/v1/workflows"),
        ("GET", "/api/v1/workflows/{workflow_id}"),
        ("GET", "/api/v1/workflows/{workflow_id}/events"),
        ("GET", "/api/v1/tasks"),
        ("POST", "/api/v1/tasks"),
        ("GET", "/api/v1/tasks/{task_id}"),
        ("GET", "/api/v1/tasks/{task_id}/status"),
        ("GET", "/api/v1/tasks/{task_id}/events"),
        ("POST", "/api/v1/tasks/{task_id}/retry"),
        ("POST", "/api/v1/dead-letters/retry"),
        ("GET", ITEMS),
        ("POST", ITEMS),
        ("GET", f"{ITEMS}/{{item_id}}/content"),
        ("GET", "/api/v1/users/{user_id}"),
        ("PUT", "/api/v1/users/{user_id}"),
        ("GET", "/api/v1/analytics"),
        ("GET", "/api/v1/selection-runs"),
        ("GET", "/api/v1/selection-runs/{run_id}"),
        ("GET", "/api/v1/schedules"),
        ("POST", "/api/v1/schedules"),
        ("GET", "/api/v1/schedules/{schedule_id}"),
        ("POST", "/api/v1/schedules/{schedule_id}/pause"),
        ("GET", "/api/v1/errors"),
        ("GET", "/api/v1/errors/{group_id}"),
        ("POST", "/api/v1/errors/{group_id}/solve"),
    } <= shown


def test_the_shorter_answers_are_those_of_the_document(api: Api) -> None:
    stock, client = Stock(api), api.client(api.key("submit", "manage"))
    new = client.post("/api/v1/tasks", json={"name": "diagnostics.echo", "params": STORED})
    answers.ToldAcceptedTask.model_validate_json(new.content)
    retried = client.post(f"/api/v1/tasks/{stock.dead[0]}/retry")
    answers.ToldTask.model_validate_json(retried.content)
    sample = client.post("/api/v1/dead-letters/retry", json={"filter": {}, "dry_run": True}).json()["sample"]
    assert {answers.ToldTask.model_validate_json(orjson.dumps(task)).state for task in sample} == {"failed"}
    item = client.post(ITEMS, content=b"x", headers={"X-Filename": "a"})
    answers.ToldTreeItem.model_validate_json(item.content)


# Keys that are restricted to queues


def uploaded(client: httpx.Client, name: str = "a") -> str:
    answer = client.post(ITEMS, content=b"x", headers={"X-Filename": name})
    assert answer.status_code == 201
    return str(answer.json()["item_id"])


def listed(client: httpx.Client) -> list[str]:
    """Over several pages."""
    found, cursor = [], ""
    while True:
        page = client.get(f"{ITEMS}?limit=1{cursor}").json()
        found += [item["item_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def test_a_restricted_key_sees_its_own_items_only(api: Api) -> None:
    everything = ("read", "submit", "manage")
    mine = api.client(api.key(*everything, queues=["default"], name="mine"))
    other = api.client(api.key(*everything, queues=["default"], name="other"))
    own, others, free = uploaded(mine), uploaded(other), uploaded(api.http)
    with api.engine.connect() as conn:
        made, nobodys = (
            tree_items.insert(conn, [item_of(owner)])[0].id for owner in ("mine", None)
        )  # by a task of the key, and by none
    assert listed(mine) == [str(made), own]
    assert listed(other) == [others]
    assert listed(api.http) == [str(nobodys), str(made), free, others, own]
    missing = str(uuid4())
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/content", None),
        ("POST", "/thumbnail", {"width": 1, "height": 1}),
        ("DELETE", "", None),
    ):
        as_if_gone = mine.request(method, f"{ITEMS}/{missing}{path}", json=body)
        for item in (others, free, str(nobodys)):
            answer = mine.request(method, f"{ITEMS}/{item}{path}", json=body)
            assert answer.status_code == 404
            assert {**answer.json(), "request_id": ""} == {**as_if_gone.json(), "request_id": ""}
    assert listed(api.http) == [str(nobodys), str(made), free, others, own], "nothing was deleted"
    assert mine.get(f"{ITEMS}/{own}/content").content == b"x"
    assert mine.delete(f"{ITEMS}/{made}").status_code == 204
    assert api.http.delete(f"{ITEMS}/{others}").status_code == 204


def item_of(owner: str | None) -> TreeItem:
    return TreeItem(
        id=new_id(), name="a", content_type="b/c", size=1, sha256="", storage_key="none", submitted_by=owner
    )


def test_a_collision_tells_a_restricted_key_no_task_of_another_queue(api: Api) -> None:
    unique = {"key": "report-7", "while": "active"}
    hidden = api.submit(unique=unique)
    client = api.client(api.key("read", "submit", queues=["low_priority"]))
    echo = {"name": "diagnostics.echo", "params": {"value": 1}, "queue": "low_priority"}
    for path, body in (("", {**echo, "unique": unique}), ("/batch", {"tasks": [{**echo, "unique": unique}]})):
        for headers in ({}, {"Idempotency-Key": f"k{path}"}):
            answer = client.post(f"/api/v1/tasks{path}", json=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (409, "not_unique")
            assert hidden["id"] not in answer.text
            assert "task_id" not in answer.json()
            assert "queue that this API key may not see" in answer.json()["detail"]
    seen = client.post("/api/v1/tasks", json={**echo, "unique": {**unique, "key": "own"}}).json()
    again = client.post("/api/v1/tasks", json={**echo, "unique": {**unique, "key": "own"}})
    assert (again.status_code, again.json()["task_id"]) == (409, seen["id"])


def test_a_restricted_key_is_told_nothing_of_other_queues(api: Api) -> None:
    """Every route that reads, for a worker that serves both queues and runs a task of each."""
    worker = Worker(api.engine)
    hidden, parent = api.submit(), api.submit()["id"]
    seen = api.submit(queue="low_priority")
    as_run(api, hidden_run := api.submit()["id"])
    echo = {"name": "diagnostics.echo", "params": STORED}
    steps = {"a": echo, "b": {**echo, "queue": "low_priority"}}
    hidden_flow = api.http.post("/api/v1/workflows", json={"steps": steps}).json()["id"]
    for task in (hidden, seen):
        worker.begin(task["id"])
    with api.engine.connect() as conn:
        found = {"id": worker.id, "running": [hidden["id"], seen["id"]]}
        conn.execute(
            sa.text("UPDATE worker SET queues = '{default,low_priority}', begun = CAST(:running AS uuid[]),"
                    " children = jsonb_build_array(jsonb_build_object('running', CAST(:running AS uuid[])))"
                    " WHERE id = :id"),
            found,
        )  # fmt: skip
        conn.execute(
            sa.text("UPDATE task SET parent_id = :parent WHERE id = :id"), {"parent": parent, "id": seen["id"]}
        )
    api.http.post(f"/api/v1/tasks/{parent}/cancel")
    api.http.get(f"/api/v1/tasks/{seen['id']}/events").text.index(
        parent
    )  # the cancellation of one followed the other's
    register_worker(api.engine, spec_named("own.report", queue="low_priority"), queues=["default", "low_priority"])
    register_worker(api.engine, spec_named("own.report", queue="low_priority"), queues=["default"], name="elsewhere")
    made = api.http.post("/api/v1/schedules", json={**SCHEDULE, "name": "elsewhere"}).json()
    api.http.post(f"/api/v1/schedules/{made['id']}/trigger")
    known = {
        "schedule_id": [made["id"]],
        "group_id": [failed_alike(api, hidden["id"])],
        "task_id": [hidden["id"], seen["id"]],
        "item_id": [uploaded(api.http)],
        "worker_id": [str(worker.id)],
        "endpoint_id": [registered(api.http)],
        "user_id": ["7"],
        "run_id": [hidden_run],
        "workflow_id": [hidden_flow],
        "name": ["default", "low_priority", "own.report"],
    }
    api.http.put("/api/v1/users/7", json={"email": "elsewhere@example.org", "name": "elsewhere"})
    api.http.post("/api/v1/usage-events", json={"events": [{**USAGE["events"][0], "model": "elsewhere"}]})
    key = api.key("read", "submit", "manage", queues=["low_priority"])
    client, told = api.client(key), {}
    for method, path in routes_of(api):
        if method == "GET" and "openapi" not in path:
            for values in product(*(known[name] for name in re.findall(r"{(\w+)}", path))):
                address = path.format(**dict(zip(re.findall(r"{(\w+)}", path), values, strict=True)))
                told[address] = ask(client, method, address, {})[1]
    for address, text in told.items():
        for secret in (hidden["id"], hidden_run, parent, "elsewhere", '"default"'):
            # The queue that a type declares is part of the type, which every key may see; and schemas have defaults.
            shown = re.sub(r'"queue":"default"|"default":', "", text) if "/task-types" in address else text
            assert secret not in shown, (address, secret)
    assert seen["id"] in told["/api/v1/workers"]
    assert "own.report" in told["/api/v1/task-types"]
    refused = client.post("/api/v1/tasks", json={"name": "own.report", "queue": "default"})
    assert (refused.status_code, refused.json()["code"]) == (403, "queue_not_allowed")


def test_a_restricted_key_is_told_of_its_own_queues_where_a_type_is_served_elsewhere(api: Api) -> None:
    register_worker(api.engine, spec_named("own.report"), queues=["default", "high_priority"])
    client = api.client(api.key("submit", queues=["low_priority"]))
    body = {"name": "own.report", "queue": "low_priority"}

    def told() -> httpx.Response | None:
        answer = client.post("/api/v1/tasks", json=body)
        return answer if answer.json()["code"] == "queue_not_served" else None

    wait_for(lambda: told() is not None, 10, "the type", every=0.2)
    answer = told()
    assert answer is not None
    assert "high_priority" not in answer.text
    assert "default" not in answer.text


@pytest.mark.parametrize("others", [False, True])
def test_idempotency_keys_are_each_api_keys_own(api: Api, others: bool) -> None:
    client = api.client(api.key("submit"))
    body, key = {"name": "diagnostics.echo", "params": {"value": 1}}, {"Idempotency-Key": "k"}
    first = client.post("/api/v1/tasks", json=body, headers=key)
    again = (api.client(api.key("submit")) if others else client).post("/api/v1/tasks", json=body, headers=key)
    assert (again.json()["id"] == first.json()["id"]) is not others


def test_a_result_is_shown_as_the_task_returned_it(api: Api) -> None:
    """Secrets are parameters: what looks like a sealed one in a result is an ordinary value."""
    value = {"value": {"$secret": "x"}, "listed": [{"$secret": {"a": 1}}]}
    worker, task = Worker(api.engine), api.submit()["id"]
    worker.begin(task)
    worker.end(task, Succeeded(value))
    assert api.http.get(f"/api/v1/tasks/{task}").json()["result"] == value
    assert api.http.get(f"/api/v1/tasks/{task}/status").json()["result"] == value
    assert api.http.get("/api/v1/tasks").json()["items"][0]["result"] == value
