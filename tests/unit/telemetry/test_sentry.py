"""What is sent to Sentry, to a server of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
import structlog

from taskyard.settings import Settings
from taskyard.telemetry.report_budget import Budget
from taskyard.telemetry.reports import MOST_A_MINUTE, MOST_A_MINUTE_ALIKE, FailedTask
from taskyard.telemetry.sentry import Sentry, frames_of
from tests.support.scheduling import Clock
from tests.support.sentry import SentryServer, sentry_server

SECRET = "s3cr3t-of-the-tests"


@pytest.fixture
def server() -> Iterator[SentryServer]:
    with sentry_server() as found:
        yield found


def reports(server: SentryServer, **settings: object) -> Sentry:
    return Sentry("api", Settings.model_validate({"SENTRY_DSN": server.dsn, **settings}))


def failed(message: str = "It does not work.", *, name: str = "tests.one") -> FailedTask:
    return FailedTask(
        task_id=UUID("01890000-0000-7000-8000-000000000001"), name=name, queue="default", attempt=1, kind="exception",
        code="task_exception", type="ValueError", message=message, traceback=None, request_id=None, trace_id=None,
    )  # fmt: skip


def broken() -> None:
    in_a_local = SECRET
    raise ValueError(f"the column {in_a_local[:0]}is missing\n[SQL: SELECT '{in_a_local}']")


def test_an_unexpected_error_is_sent_with_its_request_and_without_variables_or_statements(server: SentryServer) -> None:
    sentry = reports(server)
    with structlog.contextvars.bound_contextvars(request_id="order 17"):
        try:
            broken()
        except ValueError as e:
            sentry.unexpected(e, route="/api/v1/tasks")
    sentry.stop(5.0)
    (event,) = server.events
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "the column is missing")
    assert error["stacktrace"]["frames"][-1]["function"] == "broken"
    assert event["tags"] == {"service": "api", "request_id": "order 17", "route": "/api/v1/tasks"}
    assert SECRET.encode() not in b"".join(server.raw)
    assert b"in_a_local" not in b"".join(server.raw)


def test_secrets_of_the_settings_and_passwords_in_addresses_are_struck_out(server: SentryServer) -> None:
    sentry = reports(
        server,
        TASKYARD_DATABASE_URL=f"postgresql+psycopg://yard:{SECRET}%21@db/yard",
        TASKYARD_BOOTSTRAP_KEY="ty_bootstrap_0123456789",
    )
    sentry.task_failed(failed(f"no route to amqp://guest:p@ss@broker:5672/x with {SECRET}!"))
    sentry.unexpected(ValueError("ty_bootstrap_0123456789 is refused by https://token@host/path?a=b@c"), job="one")
    sentry.stop(5.0)
    said = {event["exception"]["values"][0]["value"] for event in server.events}
    assert said == {
        "no route to amqp://***@broker:5672/x with ***",
        "*** is refused by https://***@host/path?a=b@c",
    }


def test_a_type_that_fails_all_the_time_is_reported_so_often_a_minute_and_counted(server: SentryServer) -> None:
    sentry = reports(server)
    with structlog.testing.capture_logs() as lines:
        for _ in range(5_000):
            sentry.task_failed(failed())
        sentry.task_failed(failed(name="tests.other"))
        sentry.lost(10)
        sentry.stop(10.0)
    names = [event["transaction"] for event in server.events]
    assert (names.count("tests.one"), names.count("tests.other")) == (MOST_A_MINUTE_ALIKE, 1)
    assert {line["event"] for line in lines} == {"reports_lost"}
    assert len(lines) == 2, "the first at once, the others at the stop"
    assert sum(line["reports"] for line in lines) == 5_000 - MOST_A_MINUTE_ALIKE + 10


def test_the_reports_of_a_minute_are_bounded_in_all() -> None:
    clock = Clock()
    budget = Budget(clock)
    assert sum(budget.take((str(n),)) for n in range(2 * MOST_A_MINUTE)) == MOST_A_MINUTE
    clock.now += 59.0
    assert not budget.take(("another",))
    clock.now += 1.0
    assert sum(budget.take(("alike",)) for _ in range(2 * MOST_A_MINUTE)) == MOST_A_MINUTE_ALIKE


def test_what_cannot_be_sent_is_no_error_of_the_service(server: SentryServer) -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    reports(server).unexpected(Unprintable())


def test_the_frames_of_the_last_error_are_read_out_of_pythons_text() -> None:
    text = (
        'Traceback (most recent call last):\n  File "/app/first.py", line 1, in first\n    first()\nKeyError: 1\n\n'
        "During handling of the above exception, another exception occurred:\n\n"
        'Traceback (most recent call last):\n  File "/app/a b.py", line 12, in <module>\n    run()\n'
        '  File "/usr/lib/python3.11/site-packages/x.py", line 3, in run\n    ~~~^^^\nValueError: x\n'
    )
    assert frames_of(text) == [
        {"filename": "/app/a b.py", "lineno": 12, "function": "<module>", "in_app": True},
        {"filename": "/usr/lib/python3.11/site-packages/x.py", "lineno": 3, "function": "run", "in_app": False},
    ]
    assert frames_of("") == []
