"""The console's application before an API that tells of a queue, two workers and keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import httpx2

from tests.unit.console.console_app import KEY, Api, Browser

AT = "2026-07-01T08:00:00Z"
QUEUE: dict[str, Any] = {
    "name": "mail",
    "paused": False,
    "depth": {"queued": 3},
    "workers": 1,
    "concurrent": None,
    "per_second": None,
}
NEW_KEY = {
    "id": "00000000-0000-0000-0000-000000000002",
    "name": "ci",
    "prefix": "abcdefgh",
    "state": "valid",
    "scopes": ["read"],
    "queues": None,
    "expires_at": None,
    "created_at": AT,
}


WORKER: dict[str, Any] = {
    "id": "00000000-0000-0000-0000-000000000003",
    "name": "alive-1",
    "state": "running",
    "queues": ["mail"],
    "processes": 2,
    "processes_most": 2,
    "threads": 4,
    "started_at": AT,
    "last_beat_at": AT,
    "task_types": ["mail.send", "a b"],
    "attempts": {"succeeded": 1200, "failed": 2, "retried": 5, "crashed": 1, "cancelled": 0},
    "load_average": [0.5, 0.25, 1.125],
}
GONE = {**WORKER, "id": str(UUID(int=2)), "name": "gone-1", "state": "stopped", "stopped_at": AT}


class FleetApi(Api):
    """With one queue, of which only the queue itself is told, and keys."""

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        first = super().__call__(request)
        told: Any
        match request.method, request.url.path.removeprefix("/api/v1"):
            case _, "/queues":
                told = {"items": [QUEUE]}
            case _, "/queues/mail":
                told = self.queue
            case _, "/queues/mail/purge":
                told = {"matched": 3, "changed": 3, "left": 0, "at": AT, "sample": []}
            case _, "/broker":
                told = {"status": "up", "queues": [], **self.broker}
            case _, "/workers":
                asked = request.url.params
                shown = [one for one, alive in ((WORKER, "true"), (GONE, "false")) if asked.get("alive") == alive]
                told = {"items": shown, "next_cursor": "c" if "queue" in asked else None}
            case _, path if path == f"/workers/{WORKER['id']}":
                told = self.worker
            case "POST", "/keys":
                return httpx2.Response(201, json={**NEW_KEY, "key": "ty_abcdefgh_secret"})
            case "GET", "/keys":
                told = {"items": [NEW_KEY], "next_cursor": None}
            case _, "/audit":
                told = {"items": self.audit, "next_cursor": None}
            case _:
                return first
        return httpx2.Response(200, json=told)

    queue, worker = QUEUE, WORKER
    audit: Sequence[Mapping[str, Any]] = ()
    broker: Mapping[str, Any] = {}

    def bodies(self) -> list[Any]:
        return [json.loads(call.content) for call in self.calls if call.method != "GET"]


def signed_in(*scopes: str) -> tuple[Browser, FleetApi]:
    api = FleetApi(*scopes)
    browser = Browser(api)
    browser.sign_in(KEY)
    return browser, api
