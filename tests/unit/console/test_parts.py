"""Pages of several calls: what is refused stands in its place, and nothing that the API tells becomes HTML."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.unit.console.console_app import Api, Browser

HOSTILE = "<script>document.title='owned'</script>"
ID = "0193a6f0-0000-7000-8000-000000000001"
AT = "2026-01-31T08:00:00Z"
SERIES = {"window": "day", "step_seconds": 900, "from": AT, "to": AT}
TIMES = {"mean": 1.0, "p50": 1.0, "p90": 1.0, "p99": 1.0}
COUNTS = {"succeeded": 1, "failed": 2, "retried": 0, "crashed": 0, "cancelled": 0, "run": TIMES, "wait": TIMES}
GROUP = {
    **dict.fromkeys(("queue", "name", "code", "place", "message", "solved_by"), HOSTILE),
    "id": ID,
    "state": "solved",
    "failures": 2,
    "last_task_id": ID,
    "solved_at": AT,
    "first_seen_at": AT,
    "last_seen_at": AT,
    "counts": [1, 2],
}
TYPE = {
    **dict.fromkeys(("name", "queue", "description", "kit"), HOSTILE),
    "params": {"type": "object", "properties": {HOSTILE: {"enum": [HOSTILE], "description": HOSTILE}}},
    "retry": {"max_attempts": 2, "retry_on": [HOSTILE], "rules": [{"kind": HOSTILE, "codes": [HOSTILE]}]},
    "errors": {HOSTILE: {"words": {"en": HOSTILE}}},
    "versions": [{"version": 1, "admits": True, "workers": [{"worker": HOSTILE, "queues": [HOSTILE]}]}],
}
EVENT = {"id": ID, "kind": "failed", "at": AT, "data": {"traceback": HOSTILE, "error": {"code": HOSTILE}}}
QUEUE = {"name": HOSTILE, "paused": True, "paused_by": HOSTILE, "depth": {"queued": 3}, "workers": 0}
TASK = {"id": ID, "name": HOSTILE, "queue": HOSTILE, "state": "failed", "error": {"code": HOSTILE, "message": HOSTILE}}
SCHEDULE = {
    "id": ID,
    "enabled": True,
    "version": 1,
    "created_at": AT,
    "changed_at": AT,
    "name": HOSTILE,
    "last_fire": {"due_at": AT, "outcome": "missed"},
}
TOLD: dict[str, Any] = {
    "errors": {"items": [GROUP], "next_cursor": None},
    f"errors/{ID}": {**GROUP, **SERIES, "points": [{"at": AT, "failures": 2}], "tasks": []},
    f"tasks/{ID}/events": {"items": [EVENT], "next_cursor": None},
    "task-types": {"items": [TYPE], "next_cursor": None},
    "task-types/x": TYPE,
    "tasks": {"items": [TASK], "next_cursor": None},
    "dead-letters": {"items": [TASK], "next_cursor": None},
    "queues": {"items": [QUEUE], "next_cursor": None},
    "schedules": {"items": [SCHEDULE], "next_cursor": None},
    "statistics": {
        **SERIES,
        "points": [{"at": AT, **COUNTS}],
        "totals": COUNTS,
        "types": [{"name": HOSTILE, **COUNTS}],
        "errors": [{"name": HOSTILE, "code": HOSTILE, "failures": 2}],
    },
}
HEALTH = {
    "status": "degraded",
    "components": {"scheduler": {"status": "unhealthy", "reason": HOSTILE, "leader": HOSTILE}},
}


class Telling(Api):
    """Tells TOLD, and refuses the rest; the whole of it once the key is revoked."""

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.removeprefix("/api/v1/")
        if path == "/health/detailed":
            return httpx2.Response(200, json=HEALTH)
        if path in TOLD and not self.refuses:
            return httpx2.Response(200, json=TOLD[path])
        return super().__call__(request)


@pytest.mark.parametrize(
    "path", ["/", "/task-types", "/task-types/x", "/task-types/x/submit", "/errors", f"/errors/{ID}"]
)
def test_nothing_that_the_api_tells_becomes_html(path: str) -> None:
    browser = Browser(Telling())
    browser.sign_in()
    page = browser.get(path)
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


def test_what_a_key_may_not_see_stands_in_its_place_and_the_rest_of_the_page_stands() -> None:
    browser = Browser(Api())  # it refuses all parts of the overview but the tasks
    browser.sign_in()
    page = browser.get("/")
    assert page.status_code == 200
    assert "It is not known whether the platform works." in page.text
    assert page.text.count("There is no such task.") >= 4
    assert "Nothing runs." in page.text


def test_the_overview_says_what_it_could_not_read_and_shows_no_figure_for_it() -> None:
    class Sound(Api):
        def __call__(self, request: httpx2.Request) -> httpx2.Response:
            if request.url.path == "/health/detailed":
                return httpx2.Response(200, json={"status": "healthy", "components": {}})
            return super().__call__(request)

    browser = Browser(Sound())
    browser.sign_in()
    text = browser.get("/").text
    assert "It is not known whether everything works." in text
    assert "<li>Queues: There is no such task.</li>" in text
    assert "<li>Attempts: There is no such task.</li>" in text
    for tile in ("Queued", "Running", "Ended a minute"):
        assert f'<dt>{tile}</dt><dd><span class="none">\u2013</span>' in text
    assert "Nothing has failed." not in text


@pytest.mark.parametrize("path", ["/", "/queues", "/queues/mail"])
def test_what_is_counted_as_blocked_leads_to_what_a_limit_holds_too(path: str) -> None:
    queue = {"name": "mail", "paused": False, "depth": {"blocked": 7, "queued": 2}, "workers": 1}

    class Limited(Api):
        def __call__(self, request: httpx2.Request) -> httpx2.Response:
            match request.url.path:
                case "/api/v1/queues":
                    return httpx2.Response(200, json={"items": [queue], "next_cursor": None})
                case "/api/v1/queues/mail":
                    return httpx2.Response(200, json=queue)
            return super().__call__(request)

    browser = Browser(Limited())
    browser.sign_in()
    text = browser.get(path).text
    assert '<a href="/tasks?queue=mail&amp;state=blocked&amp;state=queued">7</a>' in text
    assert '<a href="/tasks?queue=mail&amp;state=queued">2</a>' in text


def test_a_key_that_was_revoked_leads_to_the_sign_in() -> None:
    api = Telling()
    browser = Browser(api)
    browser.sign_in()
    assert browser.get("/").status_code == 200
    api.refuses = True
    answer = browser.get("/")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
