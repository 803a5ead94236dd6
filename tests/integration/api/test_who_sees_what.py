"""Who may see what: what is stored needs the scope `read`; a key that is restricted to queues sees what is of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import uuid4

import falcon.inspect
import httpx
import pytest

from taskyard.domain.tasks import Failed, Fault, Outcome, Succeeded
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker

MARKER = "jackdaw-7c31"
STORED = {"value": MARKER}
FAULT = Fault("boom", f"It hit {MARKER}.", MARKER, retryable=True, traceback=MARKER, values={"what": MARKER})
ITEMS = "/api/v1/tree-items"
WITHOUT_READ = (("submit",), ("manage",), ("submit", "manage"))


def routes_of(api: Api) -> Iterator[tuple[str, str]]:
    """From the router itself: a new route is walked without a change here."""
    routes = falcon.inspect.inspect_app(api.service.app).routes
    found = [(method.method, route.path) for route in routes for method in route.methods if not method.internal]
    yield from sorted(found, key=lambda route: route[0] == "DELETE")  # last, so that there is something to read


class Stock:
    """Tasks in every state and an item, each with the marker in all that a caller or a task may write."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._worker = Worker(api.engine)
        self.dead = [self._begun(Failed(FAULT)) for _ in range(3)]
        self.tasks = [self._submit(), self._begun(), self._begun(Failed(FAULT)), self._begun(Succeeded(STORED))]
        headers = {"X-Filename": MARKER, "Content-Type": f"text/{MARKER}"}
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
        body = {"name": "diagnostics.echo", "params": STORED, "tags": [MARKER]}
        answer = self._api.http.post("/api/v1/tasks", json=body, headers={"X-Request-ID": MARKER})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def addresses(self, path: str) -> Iterator[str]:
        """The path with each of what its variables may stand for, and with what is not there."""
        known = {
            "task_id": [*self.tasks, str(uuid4())],
            "item_id": [self.item, str(uuid4())],
            "worker_id": [str(self._worker.id)],
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
            {"json": {**task, "tags": [{"not": MARKER}], "max_attempts": MARKER, "run_at": MARKER}},
            {"json": {"name": "email.send", "params": {"to_email": MARKER, "subject": 1, "text": MARKER}}},
            {"json": {"name": "diagnostics.sleep", "params": {"seconds": MARKER}}},
            {"json": {"ids": self.dead, "dry_run": True}},
            {"json": {"filter": {"code": "boom"}, "dry_run": True}},
            {"json": {"ids": self.dead[:1]}},
            {"json": {"width": 8, "height": 8}},
            {"content": MARKER, "headers": {"X-Filename": MARKER, "Content-Type": f"text/{MARKER}"}},
            {"files": {"file": (MARKER, MARKER.encode(), f"text/{MARKER}")}},
        ]


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
        for address, body in product(stock.addresses(path), stock.bodies() if method == "POST" else [{}]):
            key = {"Idempotency-Key": str(uuid4())}
            for extra in ({}, key, key, {"Accept": "text/event-stream"}) if body else ({}, key, key):
                given = {**body, "headers": {**body.get("headers", {}), **extra}}
                found.append(ask(client, method, address, given))
    return told


@pytest.mark.parametrize("scopes", WITHOUT_READ, ids="+".join)
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
    } <= shown
