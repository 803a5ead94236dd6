"""Changes of several tasks as the console's pages make them: what is asked of the API, and what the way back holds."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import httpx2
import pytest

from tests.unit.console.console_app import Api, Browser, hidden_of, values_of

AT = "2026-07-01T08:00:00Z"
FIRST, SECOND, THIRD = (str(UUID(int=n)) for n in (1, 2, 3))


class ChangesApi(Api):
    """Its changes hit the ids in `moves`, a retry of cancelled tasks those in `cancelled`. Of an operation `matched`
    tasks fit, and so many of theirs with them."""

    def __init__(self, *scopes: str) -> None:
        super().__init__(*scopes)
        self.moves: list[str] = []
        self.cancelled: list[str] = []
        self.matched, self.descendants = 3, 0
        self.refusals: dict[str, tuple[int, dict[str, Any]]] = {}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        first = super().__call__(request)
        path = request.url.path.removeprefix("/api/v1")
        if path in self.refusals:
            status, problem = self.refusals[path]
            return httpx2.Response(status, json={"status": status, **problem}, headers={"Retry-After": "0"})
        if request.method == "POST" and path in {
            "/tasks/cancel",
            "/dead-letters/retry",
            "/dead-letters/discard",
            "/dead-letters/restore",
        }:
            body = json.loads(request.content)
            moves = self.cancelled if body.get("cancelled") else self.moves
            changed = [] if body["dry_run"] else moves
            told = {"matched": len(moves), "changed": len(changed), "changed_ids": changed}
            return httpx2.Response(202, json=told)
        if request.method == "POST" and path == "/operations":
            if not json.loads(request.content).get("dry_run"):
                return httpx2.Response(202, json={"id": FIRST, "name": "x", "queue": "q", "state": "queued"})
            told = {"matched": self.matched, "changed": 0, "at": AT, "descendants": self.descendants, "sample": []}
            return httpx2.Response(200, json=told)
        return first


def asked(api: ChangesApi) -> list[tuple[str, dict[str, Any]]]:
    return [(call.url.path.removeprefix("/api/v1"), json.loads(call.content)) for call in api.changes()]


def signed_in() -> tuple[ChangesApi, Browser]:
    api = ChangesApi()
    browser = Browser(api)
    browser.sign_in()
    browser.get("/tasks")
    return api, browser


def test_undo_takes_back_only_the_tasks_that_the_change_hit() -> None:
    api, browser = signed_in()
    api.moves = [SECOND]
    ticked: dict[str, str | list[str]] = {"id": [FIRST, SECOND, THIRD], "next": "/tasks"}
    browser.post("/tasks/selection", None, **ticked, action="retry")
    done = browser.post("/tasks/selection", None, **ticked, action="retry", confirmed="yes").text
    assert values_of(done, "id") == [SECOND]
    undo: dict[str, str | list[str]] = {"id": values_of(done, "id"), "next": "/tasks"}
    browser.post("/tasks/selection", None, **undo, action="cancel", confirmed="yes")
    every = [FIRST, SECOND, THIRD]
    assert [(path, body["ids"], body.get("cancelled", False)) for path, body in asked(api)] == [
        *(("/dead-letters/retry", every, is_cancelled) for _ in range(2) for is_cancelled in (False, True)),
        ("/tasks/cancel", [SECOND], False),
    ]


def test_ticked_tasks_are_retried_where_they_are_dead_letters_or_cancelled() -> None:
    api, browser = signed_in()
    api.moves, api.cancelled = [FIRST], [SECOND, THIRD]
    ticked: dict[str, str | list[str]] = {"id": [FIRST, SECOND, THIRD], "next": "/tasks", "action": "retry"}
    preview = browser.post("/tasks/selection", None, **ticked).text
    assert "3 would change." in preview
    (once,) = values_of(preview, "once")
    for _ in range(2):  # a reload of the answer
        done = browser.post("/tasks/selection", None, **ticked, once=once, confirmed="yes").text
        assert values_of(done, "id") == [FIRST, SECOND, THIRD]
    dead, cancelled, *again = (call.headers["Idempotency-Key"] for call in api.changes()[2:])
    assert dead != cancelled
    assert again == [dead, cancelled]


def test_a_cancellation_of_ticked_tasks_is_taken_back_by_running_them_again() -> None:
    api, browser = signed_in()
    api.moves = [FIRST, SECOND]
    done = browser.post("/tasks/selection", None, id=[FIRST, SECOND, THIRD], action="cancel", confirmed="yes").text
    assert "Undo: run them again" in done
    assert (values_of(done, "action"), values_of(done, "id")) == (["retry"], [FIRST, SECOND])


def hidden(page: str) -> dict[str, str | list[str]]:
    return hidden_of(page[page.index('class="confirm"') :])


def test_an_operation_changes_what_its_preview_looked_at() -> None:
    api, browser = signed_in()
    page = browser.get("/operations/new?action=discard&name=a.b&next=/dead-letters?name=a.b").text
    assert 'href="/dead-letters?name=a.b"' in page
    answer = browser.post("/operations/new", None, **hidden(page), per_second="1,000")
    assert answer.headers["location"] == f"/operations/{FIRST}"
    (_, looked), (_, started) = asked(api)
    assert looked == {"action": "discard", "filter": {"name": "a.b"}, "dry_run": True}
    assert started == {"action": "discard", "filter": {"name": "a.b"}, "as_of": AT, "per_second": 1000}


@pytest.mark.parametrize("rate", ["many", "0", "-1", "1,00,0"])
def test_a_rate_that_is_none_is_said_and_starts_nothing(rate: str) -> None:
    api, browser = signed_in()
    form = hidden(browser.get("/operations/new?action=retry&name=a.b").text)
    answer = browser.post("/operations/new", None, **form, per_second=rate)
    assert answer.status_code == 422
    assert "This is not a number above zero." in answer.text
    assert all(body["dry_run"] for _, body in asked(api))


def test_a_cancellation_of_many_has_to_be_typed_and_names_what_follows() -> None:
    api, browser = signed_in()
    api.matched, api.descendants = 3, 500
    page = browser.get("/operations/new?action=cancel&name=a.b").text
    assert "500 tasks that these submitted are cancelled with them." in page
    form = hidden(page)
    for typed in ("", "2", "³"):
        assert browser.post("/operations/new", None, **form, typed=typed).status_code == 422
    api.matched = 4  # more than the reader was shown
    assert browser.post("/operations/new", None, **form, typed="3").status_code == 422
    assert all(body["dry_run"] for _, body in asked(api))
    api.matched = 2  # one has ended since
    assert browser.post("/operations/new", None, **form, typed="3").status_code == 303
    assert asked(api)[-1][1]["as_of"] == AT


@pytest.mark.parametrize("at", ["soon", "2026-07-01T08:00:00"])
def test_what_no_preview_wrote_is_refused(at: str) -> None:
    api, browser = signed_in()
    assert browser.post("/operations/new", None, action="cancel", name="a.b", as_of=at).status_code == 400
    assert api.changes() == []


def test_an_operation_is_undone_by_its_id() -> None:
    api, browser = signed_in()
    page = browser.get(f"/operations/new?action=cancel&operation_id={THIRD}&state=scheduled&state=queued").text
    browser.post("/operations/new", None, **hidden(page))
    filters = {"operation_id": THIRD, "state": ["scheduled", "queued"]}
    assert [body["filter"] for _, body in asked(api)] == [filters] * 3


@pytest.mark.parametrize("path", ["/tasks", "/dead-letters"])
def test_a_filter_that_is_wrong_is_told_above_the_filters_as_they_were_typed(path: str) -> None:
    api, browser = signed_in()
    said = "Input should be a valid UUID"
    api.refusals[path] = (422, {"code": "invalid", "detail": "x", "errors": [{"pointer": "?queue", "message": said}]})
    answer = browser.get(f"{path}?queue=xyz&name=a.b")
    assert answer.status_code == 422
    assert f"<li>Queue: {said}</li>" in answer.text
    assert 'name="name" value="a.b"' in answer.text
    answer = browser.get(f"{path}?created_after=yesterday&name=a.b")
    assert answer.status_code == 422
    assert "This is not a time: yesterday" in answer.text
    assert 'name="created_after" value="yesterday"' in answer.text


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_a_task_that_has_moved_on_is_shown_with_what_the_api_says(verb: str) -> None:
    api, browser = signed_in()
    said = "The task is succeeded already."
    api.refusals[f"/tasks/{FIRST}/{verb}"] = (409, {"code": "conflict", "detail": said})
    answer = browser.post(f"/tasks/{FIRST}/{verb}")
    assert answer.headers["location"] == f"/tasks/{FIRST}"
    assert said in browser.get("/tasks").text


def test_what_the_platform_lacks_is_not_called_silence_of_the_api() -> None:
    api, browser = signed_in()
    problem = {"code": "type_not_registered", "detail": "No worker has brought it."}
    api.refusals["/operations"] = (503, problem)
    page = browser.get("/operations/new?action=cancel&name=a.b").text
    assert "<h1>Not possible now</h1>" in page
    assert "No worker has brought it." in page


def test_a_page_of_an_error_leads_back_to_where_one_came_from() -> None:
    _, browser = signed_in()
    page = browser.get("/nowhere", Referer="http://console.test/tasks?name=a.b&state=queued").text
    assert 'href="/tasks?name=a.b&amp;state=queued">Back</a>' in page


@pytest.mark.parametrize(
    "came", ["http://other.test/tasks", "http://console.test//evil.test", "http://console.test/nowhere", ""]
)
def test_a_page_of_an_error_leads_to_no_other_site_and_not_to_itself(came: str) -> None:
    _, browser = signed_in()
    page = browser.get("/nowhere", Referer=came).text
    assert ">Back</a>" not in page
    assert 'href="/">To the first page</a>' in page
