"""Reports of final failures, by real processes to a server that speaks Sentry's protocol."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fleet import Fleet, wait_for
from tests.support.sentry import SentryServer, sentry_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SECRET = "s3cr3t-of-the-tests"
MARK = "a-parameter-of-the-tests"


@pytest.fixture
def sentry() -> Iterator[SentryServer]:
    with sentry_server() as found:
        yield found


def start(fleet: Fleet, dsn: str) -> None:
    fleet.environment |= {
        "SENTRY_DSN": dsn,
        "SENTRY_RELEASE": "shop@2.1",
        "TASKYARD_APP_ENV": "staging",
        "TASKYARD_CRASH_LIMIT": "1",
        "TASKYARD_TASK_MODULES": "tests.support.effects,tests.support.traced",
    }
    fleet.start_all()


def submit(fleet: Fleet, name: str, params: dict[str, Any], **more: Any) -> str:
    def sent() -> Any:
        answer = fleet.http.post(
            "/tasks", json={"name": name, "params": params, **more}, headers={"X-Request-ID": "order 17"}
        )
        return answer if answer.status_code == 202 else None

    return str(wait_for(sent, 10, f"{name} to be taken").json()["id"])


@pytest.mark.long
def test_a_task_is_reported_once_when_it_has_failed_for_good(fleet: Fleet, sentry: SentryServer) -> None:
    start(fleet, sentry.dsn)
    recovering = submit(fleet, "tests.traced", {"failures": 2})
    failing = submit(fleet, "tests.traced", {"failures": 9, "token": SECRET, "note": MARK})
    fleet.wait_state(failing, "failed", seconds=60)
    fleet.wait_state(recovering, "succeeded", seconds=60)
    wait_for(lambda: sentry.events, 60, "the report of the first")
    crashing = submit(fleet, "diagnostics.crash", {"times": 9})  # after the others: it takes them with it
    fleet.wait_state(crashing, "failed", seconds=60)
    wait_for(lambda: len(sentry.events) >= 2, 60, "two reports")
    for process in fleet.processes:
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    assert len(sentry.events) == 2, "none for attempts that others followed"
    (event,) = sentry.of_task(failing)
    (crash,) = sentry.of_task(crashing)
    row = fleet.task(failing)
    assert row.attempt == 4
    assert event["fingerprint"] == ["task", "tests.traced", "task_exception", "RuntimeError"]
    assert event["transaction"] == "tests.traced"
    assert event["tags"] == {
        "service": "worker",
        "task.type": "tests.traced",
        "task.queue": "default",
        "task.attempt": "4",
        "task.failure_kind": "exception",
        "task.error_code": "task_exception",
        "task.id": failing,
        "request_id": "order 17",
        "trace_id": row.traceparent[3:35],
    }
    assert event["contexts"]["trace"]["trace_id"] == row.traceparent[3:35]
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("RuntimeError", "attempt 4 fails with ***")
    assert error["stacktrace"]["frames"][-1]["function"] == "traced"
    assert (event["release"], event["environment"]) == ("shop@2.1", "staging")
    assert crash["tags"]["task.failure_kind"] == "crash"
    sent = b"".join(sentry.raw)
    assert SECRET.encode() not in sent
    assert MARK.encode() not in sent
    assert b'"vars"' not in sent, "no variables of frames"
