"""A task's page: what it asks the API for, and what a reader of few rights is told."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.unit.console.console_app import Api, Browser

ID = "0193a6f0-0000-7000-8000-000000000001"
TASK = {"id": ID, "name": "mail.send", "queue": "default", "state": "failed", "attempt": 2, "max_attempts": 2}
ERROR = {"code": "task_exception", "type": "KeyError", "message": "'A-2'"}
TRACEBACK = 'Traceback:\n  File "secret/place.py", line 2, in go\nKeyError'


def event(number: int, kind: str, attempt: int, **data: Any) -> dict[str, Any]:
    at = f"2026-01-31T08:{number // 60:02}:{number % 60:02}Z"
    return {"id": f"{attempt}.2.{number}", "kind": kind, "at": at, "attempt": attempt, "data": data}


EVENTS = [
    event(0, "submitted", 0, queue="default"),
    event(1, "started", 1, worker="w:1"),
    event(2, "retrying", 1, error=ERROR, traceback=TRACEBACK),
    event(3, "started", 2, worker="w:1"),
    event(4, "failed", 2, error=ERROR, traceback=TRACEBACK),
]


class OfTask(Api):
    """Has one task. Its log has more lines than a page; each page of it tells what it was asked for."""

    task: dict[str, Any] = TASK
    events: list[dict[str, Any]] = EVENTS
    next_cursor: str | None = None

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        answer = super().__call__(request)
        if answer.status_code == 401:
            return answer
        match request.url.path.removeprefix(f"/api/v1/tasks/{ID}"):
            case "":
                return httpx2.Response(200, json=self.task)
            case "/explain":
                told = {"task_id": ID, "state": "failed", "summary": "It failed.", "reasons": []}
                return httpx2.Response(200, json=told)
            case "/events" if request.url.params.get("log") == "true":
                asked = request.url.params
                line = event(9, "log", 1, level="info", message=f"line of {asked.get('attempt')}")
                return httpx2.Response(200, json={"items": [line], "next_cursor": "1.2.9"})
            case "/events":
                return httpx2.Response(200, json={"items": self.events[::-1], "next_cursor": self.next_cursor})
        return answer

    def asked(self, **wanted: str) -> list[dict[str, str]]:
        """The queries of the timeline that were like this."""
        found = [dict(call.url.params) for call in self.calls if call.url.path.endswith("/events")]
        return [query for query in found if wanted.items() <= query.items()]


def page_of(api: OfTask, query: str = "", **settings: Any) -> str:
    browser = Browser(api, **settings)
    browser.sign_in()
    answer = browser.get(f"/tasks/{ID}{query}")
    assert answer.status_code == 200
    return answer.text


def test_the_end_of_a_long_timeline_is_shown_and_leads_to_what_came_before() -> None:
    api = OfTask()
    api.next_cursor = "0.0.0"
    page = page_of(api)
    assert len(api.asked(order="newest", log="false")) == 1
    assert page.index("Submitted to the queue") < page.index("Failed</bdi></strong>")
    assert f"/tasks/{ID}?before=0.0.0" in page
    page = page_of(api, "?before=1.2.2")
    assert api.asked(order="newest", log="false", cursor="1.2.2")
    assert "Newest entries" in page


def test_the_log_is_read_from_its_end_and_by_attempt() -> None:
    api = OfTask()
    page = page_of(api, "?attempt=2&log=line&lines_before=3.2.1")
    assert api.asked(order="newest", log="true", attempt="2", cursor="3.2.1")
    assert "Only the lines shown here were looked through" in page
    assert f"/tasks/{ID}?log=line&amp;attempt=2&amp;lines_before=1.2.9#log-title" in page


def test_of_two_attempts_side_by_side_each_has_the_end_of_its_own_log() -> None:
    api = OfTask()
    page = page_of(api)
    assert [api.asked(log="true", limit="20", attempt=number) != [] for number in ("1", "2")] == [True, True]
    assert "line of 1" in page
    assert "line of 2" in page


@pytest.mark.parametrize(
    ("scopes", "settings", "is_shown"),
    [
        (["read", "manage"], {}, True),
        (["read"], {}, False),
        (["admin"], {"console_read_only": True}, True),
    ],
)
def test_tracebacks_and_the_places_in_them_are_for_the_scope_manage(
    scopes: list[str], settings: dict[str, Any], is_shown: bool
) -> None:
    page = page_of(OfTask(*scopes), **settings)
    assert ("secret/place.py" in page) == is_shown
    assert ("Tracebacks are shown to those who have the scope manage." in page) != is_shown


def test_a_task_leads_to_its_type_queue_worker_and_to_failures_like_it() -> None:
    api = OfTask()
    more = {"soft_timeout_seconds": 50, "hard_timeout_seconds": 60, "partial": True, "crashes": 2, "version": 3}
    limits = {"limits": {"key": "customer-7", "concurrent": 2}, "callback_url": "https://example.org/done"}
    api.task = {**TASK, **more, **limits, "error": ERROR, "worker": "w:1", "started_at": "2026-01-31T08:00:00Z"}
    page = page_of(api)
    for address in ("/task-types/mail.send", "/queues/default", "/workers/by-name/w"):
        assert f'href="{address}"' in page
    assert "/errors?name=mail.send&amp;code=task_exception&amp;queue=default" in page
    for said in ("version 3", "died 2 times", "ended after", "customer-7", "https://example.org/done", "It is partial"):
        assert said in page


@pytest.mark.parametrize(("name", "leads_to"), [("w", f"/workers/{ID}"), ("gone", "/workers")])
def test_a_worker_is_found_by_its_name(name: str, leads_to: str) -> None:
    class Fleet(Api):
        def __call__(self, request: httpx2.Request) -> httpx2.Response:
            if request.url.path == "/api/v1/workers":
                worker = {"id": ID, "name": "w", "state": "running"}
                return httpx2.Response(200, json={"items": [worker], "next_cursor": None})
            return super().__call__(request)

    browser = Browser(Fleet())
    browser.sign_in()
    assert browser.get(f"/workers/by-name/{name}").headers["location"] == leads_to


def test_a_log_is_downloaded_page_by_page() -> None:
    class Ending(OfTask):
        def __call__(self, request: httpx2.Request) -> httpx2.Response:
            if request.url.params.get("cursor") == "1.2.9":
                last = event(10, "log", 1, level="info", message="the last")
                return httpx2.Response(200, json={"items": [last], "next_cursor": None})
            return super().__call__(request)

    browser = Browser(Ending())
    browser.sign_in()
    lines = browser.get(f"/tasks/{ID}/log").text.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["None", "last"]
