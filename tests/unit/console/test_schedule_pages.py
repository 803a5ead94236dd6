"""Pages of schedules and workflows: what a form changes, and what it leaves alone."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import httpx2
import pytest

from .console_app import Api, Browser

SCHEDULE = "00000000-0000-0000-0000-0000000000aa"
WORKFLOW = "00000000-0000-0000-0000-0000000000bb"
TASK = {
    "name": "reports.daily",
    "params": {},
    "queue": "default",
    "max_attempts": 5,
    "soft_timeout_seconds": 60.0,
    "hard_timeout_seconds": 90.0,
    "tags": ["acme corp", "vip"],
    "on_cancel": "leave_children",
    "callback_url": None,
    "version": 1,
}


class ScheduleApi(Api):
    """One schedule and one workflow, and what is changed of them."""

    def __init__(self) -> None:
        super().__init__("read", "manage", "submit")
        self.schedule: dict[str, Any] = {
            "id": SCHEDULE,
            "name": "nightly",
            "enabled": True,
            "version": 1,
            "task": TASK,
            "misfire": "once",
            "trigger": {"cron": "0 8 * * *", "timezone": "UTC", "every_seconds": None, "at": None},
            "overlap": "allow",
            "catch_up_seconds": 86_400.0,
            "jitter_seconds": 0.0,
            "start_at": "2026-06-01T06:00:00Z",
            "created_at": "2026-01-01T00:00:00Z",
            "changed_at": "2026-01-01T00:00:00Z",
        }
        self.sent: list[Any] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        match request.method, request.url.path:
            case _, path if path.endswith("/schedules/preview"):
                return httpx2.Response(200, json={"next_fires": []})
            case "PATCH", path if path.endswith(SCHEDULE):
                self.sent.append(json.loads(request.content))
                return httpx2.Response(200, json=self.schedule)
            case "POST", path if path.endswith("/trigger"):
                self.sent.append(request.headers["Idempotency-Key"])
                fire = {"due_at": "2026-01-01T00:00:00Z", "outcome": "submitted", "task_id": WORKFLOW, "by_hand": True}
                return httpx2.Response(202, json={"id": 1, **fire})
            case "GET", path if path.endswith(SCHEDULE):
                return httpx2.Response(200, json=self.schedule)
            case "GET", path if path.endswith("/fires"):
                return httpx2.Response(200, json={"items": [], "next_cursor": None})
            case "GET", path if path.endswith(f"/workflows/{WORKFLOW}"):
                progress = {"percent": 40, "current": 2, "total": 5, "succeeded": 1, "failed": 1}
                known: dict[str, Any] = {
                    "id": WORKFLOW,
                    "state": "running",
                    "progress": progress,
                    "steps": [],
                    "next_cursor": None,
                }
                return httpx2.Response(200, json={"name": "monthly", "created_at": "2026-01-01T00:00:00Z", **known})
            case "POST", path if path.endswith(("/cancel", "/retry")):
                self.sent.append(path)
        return super().__call__(request)


def signed_in() -> tuple[Browser, ScheduleApi]:
    api = ScheduleApi()
    browser = Browser(api)
    browser.sign_in()
    return browser, api


def fields_of(text: str) -> dict[str, str]:
    """What a browser would send of the form, untouched."""
    form = text[text.index('class="sheet"') : text.index("</form>", text.index('class="sheet"'))]
    found = {}
    for tag in re.findall(r"<input [^>]*>", form):
        name, value, kind = (re.search(rf' {part}="([^"]*)"', tag) for part in ("name", "value", "type"))
        if name and (kind is None or kind[1] != "radio" or " checked" in tag):
            found[name[1]] = html.unescape(value[1]) if value else ""
    for name, held in re.findall(r'<textarea [^>]*name="([^"]+)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
        found[name] = html.unescape(held)
    return found


def test_a_form_changes_what_was_touched_and_not_what_somebody_else_changed_meanwhile() -> None:
    browser, api = signed_in()
    path = f"/schedules/{SCHEDULE}/edit"
    fields = fields_of(browser.get(path).text)
    api.schedule = {**api.schedule, "trigger": {**api.schedule["trigger"], "cron": "0 9 * * *"}}
    assert browser.post(path, None, **{**fields, "jitter_seconds": "5"}).status_code == 303
    assert api.sent == [{"jitter_seconds": 5}]


def test_another_zone_chosen_meanwhile_moves_no_time_and_tags_with_blanks_stay_whole() -> None:
    browser, api = signed_in()
    path = f"/schedules/{SCHEDULE}/edit"
    fields = fields_of(browser.get(path).text)
    browser.cookies["taskyard_zone"] = "Asia/Tokyo"
    browser.post(path, None, **{**fields, "end_at": "2026-12-31T00:00:00", "max_attempts": "7"})
    (sent,) = api.sent
    assert sorted(sent) == ["end_at", "task"]
    assert sent["end_at"] == "2026-12-31T00:00:00+00:00"
    assert sent["task"]["tags"] == ["acme corp", "vip"]


def test_run_now_pressed_twice_is_one_run() -> None:
    browser, api = signed_in()
    seed = re.search(r'name="seed" value="([^"]+)"', browser.get(f"/schedules/{SCHEDULE}").text)
    assert seed
    for _ in range(2):
        browser.post(f"/schedules/{SCHEDULE}/trigger", None, seed=seed[1])
    assert api.sent == [seed[1]] * 2


@pytest.mark.parametrize(("verb", "says"), [("cancel", "3 steps have not ended"), ("retry", "4 steps did not succeed")])
def test_a_change_of_a_workflow_is_asked_for_with_what_it_would_change(verb: str, says: str) -> None:
    browser, api = signed_in()
    page = browser.get(f"/workflows/{WORKFLOW}/{verb}")
    assert says in page.text
    assert api.sent == []
