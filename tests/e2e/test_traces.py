"""Traces through real processes, to a real receiver of OTLP at the other end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.composed import guard_moves
from tests.support.fleet import Fleet, wait_for
from tests.support.otlp import Collector, Span, collector
from tests.support.receiver import Receiver, receiver

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-ID": "order 17"}
SECRET = "s3cr3t-of-the-tests"


@pytest.fixture(scope="module")
def otlp() -> Iterator[Collector]:
    with collector() as found:
        yield found


@pytest.fixture
def other_end() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory,
    new_database: Callable[[], str],
    new_redis_url: Callable[[], str],
    otlp: Collector,
) -> Iterator[Fleet]:
    """One stack for all tests here: each looks at the spans of its own tasks."""
    made = Fleet(tmp_path_factory.mktemp("traced"), new_database(), new_redis_url())
    guard_moves(made.engine)
    made.environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=tests",
        "TASKYARD_OUTBOUND_NETWORKS": "127.0.0.0/8",
        "TASKYARD_TASK_MODULES": "tests.support.effects,tests.support.traced",
    }
    try:
        made.start_all()
        yield made
    finally:
        made.stop()


def submit(fleet: Fleet, name: str, params: dict[str, Any], headers: dict[str, str] = HEADERS, **more: Any) -> str:
    def sent() -> Any:
        answer = fleet.http.post("/tasks", json={"name": name, "params": params, **more}, headers=headers)
        return answer if answer.status_code == 202 else None

    return str(wait_for(sent, 60, f"{name} to be taken").json()["id"])


def lines(fleet: Fleet, service: str) -> list[dict[str, Any]]:
    (log,) = fleet.home.glob(f"*-taskyard-{service}.log")
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def test_a_request_is_followed_through_publish_run_retry_and_callback(
    fleet: Fleet, otlp: Collector, other_end: Receiver
) -> None:
    endpoint = fleet.http.post("/webhook-endpoints", json={"url": f"{other_end.url}/hooks"})
    assert endpoint.status_code == 201
    params = {"failures": 1, "token": SECRET, "child": True}
    task_id = submit(fleet, "tests.traced", params, callback_url=f"{other_end.url}/hooks/a")
    fleet.wait_state(task_id, "succeeded", seconds=45)
    wait_for(lambda: other_end.got, 30, "the callback")

    # Before the API knows the types, it refuses the first ones.
    request = otlp.one("POST /api/v1/tasks", request_id="order 17", **{"http.response.status_code": 202})
    publish = otlp.one("publish tests.traced", task_id=task_id)
    first, second = (otlp.one("run tests.traced", task_id=task_id, task_attempt=n) for n in (1, 2))
    deliver = otlp.one("run webhooks.deliver")

    def of_children() -> list[Span]:
        published = [s for s in otlp.spans if s.name == "publish tests.traced" and s.trace_id == TRACE]
        return [s for s in published if s.attributes["task.id"] != task_id]

    children = wait_for(of_children, 20, "the child's publication")
    assert len(children) == 1
    child_run = otlp.one("run tests.traced", task_id=children[0].attributes["task.id"])

    mine = (request, publish, first, second, deliver, *children, child_run)
    assert {span.trace_id for span in mine} == {TRACE}
    assert [span.parent_id for span in mine] == [
        *(CALLER, request.span_id, publish.span_id, publish.span_id, publish.span_id),
        *(second.span_id, children[0].span_id),
    ]
    assert [span.kind for span in mine] == [
        *("server", "producer", "consumer", "consumer", "consumer", "producer", "consumer")
    ]
    assert (first.links, second.links) == ([], [first.span_id])
    assert {s.service for s in (request, publish)} == {"taskyard-api"}
    assert {s.service for s in (first, second, deliver, *children)} == {"taskyard-worker"}

    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/v1/tasks",
        "http.response.status_code": 202,
        "url.path": "/api/v1/tasks",
        "url.scheme": "http",
        "request.id": "order 17",
    }
    of_task = {
        "messaging.system": "taskyard",
        "messaging.destination.name": "default",
        "messaging.message.id": task_id,
        "task.type": "tests.traced",
        "task.id": task_id,
        "request.id": "order 17",
    }
    assert publish.attributes == of_task | {"messaging.operation.name": "publish", "messaging.operation.type": "send"}
    of_run = of_task | {
        "messaging.operation.name": "run",
        "messaging.operation.type": "process",
        "traced.rows": 3,
        "traced.said": "the token is ***",
    }
    sentence = "attempt 1 fails with ***"
    assert first.attributes == of_run | {
        "task.attempt": 1,
        "task.outcome": "retrying",
        "error": True,
        "error.type": "RuntimeError",
        "error.code": "task_exception",
        "error.message": sentence,
    }
    assert (first.status, first.said) == ("error", sentence)
    assert second.attributes == of_run | {"task.attempt": 2, "task.outcome": "succeeded"}
    assert second.status == "unset"
    assert not any(SECRET.encode() in body for body in otlp.raw)

    headers = other_end.got[0].headers
    assert headers["x-request-id"] == "order 17"
    assert headers["traceparent"] == f"00-{TRACE}-{deliver.span_id}-01"

    fleet.http.get("/tasks", headers={**HEADERS, "Authorization": "Bearer wrong"})
    refused = next(line for line in lines(fleet, "api") if line["event"] == "key_refused")
    assert (refused["request_id"], refused["trace_id"]) == ("order 17", TRACE)
    fleet.http.get("/tasks", headers=HEADERS)
    taken = otlp.one("GET /api/v1/tasks")
    assert taken.attributes["http.response.status_code"] == 200, "a caller without a good key makes no span"
    assert taken.span_id != refused["span_id"]

    said = {line["event"]: line for line in lines(fleet, "worker") if line.get("task_id") == task_id}
    assert set(said) >= {"task_started", "task_retrying", "task_succeeded", "traced_line"}
    for event, span in [("task_retrying", first), ("task_succeeded", second), ("traced_line", second)]:
        line = said[event]
        ids = ("request_id", "trace_id", "span_id", "attempt", "task_name")
        assert [line[name] for name in ids] == [
            *("order 17", TRACE, span.span_id, span.attributes["task.attempt"], "tests.traced")
        ]


def test_the_callers_sampling_holds_a_fire_begins_a_trace_and_probes_are_not_traced(
    fleet: Fleet, otlp: Collector
) -> None:
    unsampled = submit(fleet, "tests.traced", {}, {"traceparent": f"00-{'1' * 32}-{CALLER}-00"})
    alone = submit(fleet, "tests.traced_async", {}, {})
    task = {"name": "tests.traced", "params": {"failures": 0}}
    made = fleet.http.post("/schedules", json={"name": "often", "trigger": {"every_seconds": 1}, "task": task})
    assert made.status_code == 201, made.text
    keyed = [submit(fleet, "tests.traced", {"failures": 0}, {"Idempotency-Key": "once"}) for _ in range(2)]
    assert len(set(keyed)) == 1
    for task_id in (unsampled, alone, keyed[0]):
        fleet.wait_state(task_id, "succeeded")

    assert fleet.task(unsampled).traceparent.startswith(f"00-{'1' * 32}-")
    wait_for(lambda: any("task.schedule_id" in s.attributes for s in otlp.spans), 30, "a fire")
    fired = next(s for s in otlp.spans if "task.schedule_id" in s.attributes)
    assert (fired.parent_id, fired.attributes["task.schedule_id"]) == ("", made.json()["id"])
    of_fire = otlp.one("run tests.traced", task_id=fired.attributes["task.id"])
    assert (of_fire.trace_id, of_fire.parent_id) == (fired.trace_id, fired.span_id)

    failed, done = (otlp.one("run tests.traced_async", task_id=alone, task_attempt=n) for n in (1, 2))
    published = otlp.one("publish tests.traced_async")
    request = next(s for s in otlp.spans if s.span_id == published.parent_id)
    assert request.parent_id == ""
    assert {failed.parent_id, done.parent_id} == {published.span_id}
    assert (failed.attributes["error.type"], failed.attributes["error.code"]) == ("TaskError", "not_now")
    assert failed.attributes["error.message"] == "It does not work now."
    assert done.links == [failed.span_id]

    otlp.one("run tests.traced", task_id=keyed[0])
    assert sum(s.name.startswith("publish") and s.attributes["task.id"] == keyed[0] for s in otlp.spans) == 1

    # All of the unsampled task has long been exported, if any of it ever is.
    assert "1" * 32 not in {span.trace_id for span in otlp.spans}
    assert not [span for span in otlp.spans if span.attributes.get("url.path", "").startswith("/health")]
    assert {span.service for span in otlp.spans} == {"taskyard-api", "taskyard-worker", "taskyard-scheduler"}
    assert {request["path"] for request in otlp.requests} == {"/v1/traces"}
