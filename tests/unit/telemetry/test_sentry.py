"""What is sent to Sentry, to a server of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from taskyard.settings import Settings
from taskyard.telemetry.sentry import Sentry, frames_of
from tests.support.sentry import SentryServer, sentry_server

SECRET = "s3cr3t-of-the-tests"


@pytest.fixture
def server() -> Iterator[SentryServer]:
    with sentry_server() as found:
        yield found


def reports(server: SentryServer) -> Sentry:
    return Sentry("api", Settings.model_validate({"SENTRY_DSN": server.dsn}))


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
