"""The lists of tasks: one found by its id, what may be typed into filters, what a page listens to, cut files."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx2
import pytest

from taskyard_client.models import Task
from taskyard_client.pages import Page
from taskyard_console.pages import downloads
from taskyard_console.pages.task_types import _place
from tests.unit.console.console_app import Api, Browser

ID = "0193a6f0-0000-7000-8000-000000000001"
HOSTILE = '<b>&"x'


class WithNames(Api):
    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        told: dict[str, Any] = {
            "/api/v1/task-types": {"items": [{"name": "mail.send", "queue": "mail", "params": {}}]},
            "/api/v1/queues": {"items": [{"name": HOSTILE, "paused": False}], "next_cursor": None},
            "/api/v1/dead-letters": {"items": [], "next_cursor": None},
        }
        answer = super().__call__(request)
        if answer.status_code == 404 and request.url.path in told:
            return httpx2.Response(200, json=told[request.url.path])
        return answer

    def count(self, path: str) -> int:
        return sum(call.url.path == path for call in self.calls)


def browser_of(api: Api) -> Browser:
    browser = Browser(api)
    browser.sign_in()
    return browser


@pytest.mark.parametrize(
    ("typed", "leads_to"),
    [
        (ID, f"/tasks/{ID}"),
        (f" https://tasks.example.org/console/tasks/{ID.upper()}?level=info ", f"/tasks/{ID}"),
        ("mail.send", "/tasks"),
        ("", "/tasks"),
    ],
)
def test_a_task_is_found_by_its_id_in_whatever_was_pasted(typed: str, leads_to: str) -> None:
    answer = browser_of(Api()).get(str(httpx2.URL("/tasks/find", params={"id": typed})))
    assert (answer.status_code, answer.headers["location"]) == (303, leads_to)


@pytest.mark.parametrize("path", ["/tasks", "/dead-letters", "/dead-letters?discarded=yes"])
def test_filters_suggest_types_and_queues_and_ask_for_them_once_a_minute(path: str) -> None:
    api = WithNames()
    browser = browser_of(api)
    page = browser.get(path).text
    assert '<option value="mail.send">' in page
    assert '<option value="&lt;b&gt;&amp;&#34;x">' in page
    browser.get(path)
    browser.get(path, **{"X-Fragment": "1"})
    assert (api.count("/api/v1/task-types"), api.count("/api/v1/queues")) == (1, 1)


def test_a_list_stands_without_suggestions_where_the_key_may_not_see_them() -> None:
    page = browser_of(Api()).get("/tasks")  # it refuses both
    assert page.status_code == 200
    assert "<datalist" not in page.text


@pytest.mark.parametrize(
    ("path", "listens"),
    [
        ("/tasks?state=failed&state=queued", "/live?state=failed&amp;state=queued"),
        ("/tasks?order=running_longest", "/live?state=running"),
        ("/dead-letters", '/live?state=failed" data-live-pause="5000'),
    ],
)
def test_a_list_listens_to_the_states_that_it_shows(path: str, listens: str) -> None:
    page = browser_of(WithNames()).get(path).text
    assert f'data-live-from="{listens}"' in page
    assert "data-pause" in page


@pytest.mark.parametrize(("rows", "is_cut"), [(3, False), (4, False), (5, True), (7, True)])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_file_that_is_cut_says_so(monkeypatch: pytest.MonkeyPatch, rows: int, is_cut: bool, form: str) -> None:
    monkeypatch.setattr(downloads, "MOST_ROWS", 4)
    tasks = [Task(id=UUID(int=n), name="a.b", queue="q", state="failed") for n in range(rows)]

    async def read(cursor: str | None) -> Page[Task]:
        at = int(cursor or 0)
        return Page(items=tasks[at : at + 3], next_cursor=str(at + 3) if at + 3 < rows else None)

    async def text() -> str:
        written = downloads.csv_of if form == "csv" else downloads.jsonl_of
        return b"".join([piece async for piece in downloads._pieces(await read(None), read, written)]).decode()

    found = asyncio.run(text())
    assert found.count("a.b") == min(rows, 4)
    assert ("the rest is left out" in found) == is_cut


def test_most_failures_are_those_of_the_column() -> None:
    def counts(failed: int, retried: int) -> Any:
        one = type("Counts", (), {"failed": failed, "retried": retried, "crashed": 0})()
        one.succeeded = one.cancelled = 0
        one.run = one.wait = type("Times", (), {"p50": None})()
        return one

    def name(text: str) -> Any:
        return type("Type", (), {"name": text})()

    places = {one: _place("failures", name(one), counts(*of)) for one, of in {"a": (1, 50), "b": (2, 0)}.items()}
    assert sorted(places, key=places.__getitem__) == ["b", "a"]
