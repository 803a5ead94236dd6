"""A stand-in for an API that the doctor examines: all is well, until a test says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from tests.support.http_stand_in import Call, Reply, answering

TASK_ID = "0198a000-0000-7000-8000-000000000001"
_STREAM = (("Content-Type", "text/event-stream"),)
_PAGE_OF_A_PROXY = b"<html>upstream connect error</html>"


def now() -> str:
    return datetime.now(UTC).isoformat()


def worker(name: str = "w-1", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "queues": ["default"], "state": "running", "processes": 1, "threads": 1, "running_tasks": 0,
        "last_beat_at": now(), **more,
    }  # fmt: skip


@dataclass
class Stand:
    """`refuses`: the status for a call. `says`: a refusal is a document of the API, and not a page of a proxy. `runs`:
    the echo ends at once; else it stays queued. `calls`: what was asked."""

    scopes: frozenset[str] = frozenset({"read", "submit", "manage"})
    workers: list[dict[str, Any]] = field(default_factory=lambda: [worker()])
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuses: dict[str, int] = field(default_factory=dict)
    says: bool = True
    runs: bool = True
    calls: list[str] = field(default_factory=list)
    _value: str = ""

    def __call__(self, call: Call) -> Reply:
        self.calls.append(f"{call.method} {call.path}")
        if (status := self.refuses.get(f"{call.method} {call.path}")) is not None:
            detail = {"code": "stand_in", "detail": "Come again later."}
            return Reply(status, detail if self.says else _PAGE_OF_A_PROXY)
        return self._health(call) or self._reads(call) or self._of_tasks(call)

    def _health(self, call: Call) -> Reply | None:
        match call.path:
            case "/health/live":
                return Reply(200, {"status": "alive"})
            case "/health/ready":
                return Reply(200, {"status": "ready"})
            case "/health/detailed":
                sound = {"scheduler": {"leader": "s-1"}, "redis": {"status": "healthy", "latency_ms": 1}}
                return Reply(200, {"components": sound | self.parts})
        return None

    def _reads(self, call: Call) -> Reply | None:
        match call.path:
            case "/api/v1/queues":
                if "read" not in self.scopes:
                    return Reply(403, {"code": "missing_scope"})
                return Reply(200, {"items": [{"name": "default", "depth": {"queued": 7}}], "next_cursor": None})
            case "/api/v1/workers":  # one a page
                at = int(call.query.get("cursor", 0))
                more = str(at + 1) if at + 1 < len(self.workers) else None
                return Reply(200, {"items": self.workers[at : at + 1], "next_cursor": more})
            case "/api/v1/events":
                change = orjson.dumps({"state": "succeeded", "task_id": TASK_ID})
                return Reply(200, b"data: " + change + b"\n\n", _STREAM)
        return None

    def _of_tasks(self, call: Call) -> Reply:
        at = now()
        match call.method, call.path:
            case "POST", "/api/v1/tasks":
                if "submit" not in self.scopes:
                    return Reply(403, {"code": "missing_scope"})
                body = orjson.loads(call.body)
                if "name" not in body:
                    return Reply(422, {"code": "invalid"})
                self._value = body["params"]["value"]
                return Reply(202, {"id": TASK_ID})
            case "GET", _:
                ended = {"state": "succeeded", "started_at": at, "finished_at": at, "result": {"value": self._value}}
                return Reply(200, {"created_at": at, **(ended if self.runs else {"state": "queued"})})
            case _ if "manage" not in self.scopes:
                return Reply(403, {"code": "missing_scope"})
            case _ if TASK_ID not in call.path:
                return Reply(404, {"code": "not_found"})
        return Reply(202, {"id": TASK_ID})


@contextmanager
def standing(stand: Stand) -> Iterator[str]:
    """Its address."""
    with answering(stand) as url:
        yield url
