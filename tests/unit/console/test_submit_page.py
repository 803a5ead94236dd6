"""The page that submits a task: what its form begins with, and what it sends."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import httpx2

from tests.unit.console.console_app import Api, Browser, values_of

TASK = str(UUID(int=7))
PATH = "/task-types/mail.send/submit"
KIND: dict[str, Any] = {
    "name": "mail.send",
    "queue": "default",
    "params": {
        "type": "object",
        "properties": {
            "to": {"type": "string"},
            "logins": {"type": "array", "items": {"type": "object"}},
            "copies": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 1},
        },
        "required": ["to"],
    },
    "retry": {"max_attempts": 3},
}
OLD: dict[str, Any] = {
    "id": TASK,
    "name": "mail.send",
    "queue": "low",
    "state": "failed",
    "params": {"to": "ada", "logins": [{"password": "***"}], "copies": None},
    "tags": ["night"],
    "max_attempts": 9,
}


class SubmitApi(Api):
    refusal: tuple[int, dict[str, Any]] | None = None

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        first = super().__call__(request)
        match request.method, request.url.path.removeprefix("/api/v1"):
            case "GET", "/task-types/mail.send":
                return httpx2.Response(200, json=KIND)
            case "GET", path if path == f"/tasks/{TASK}":
                return httpx2.Response(200, json=OLD)
            case "POST", "/tasks" if self.refusal:
                return httpx2.Response(self.refusal[0], json=self.refusal[1])
            case "POST", "/tasks":
                return httpx2.Response(202, json={**OLD, "id": str(UUID(int=8))})
        return first


def signed_in() -> tuple[SubmitApi, Browser]:
    api = SubmitApi()
    browser = Browser(api)
    browser.sign_in()
    browser.get("/tasks")
    return api, browser


def begun(browser: Browser) -> dict[str, str | list[str]]:
    """The form of a task that is submitted again, as the page has it, with the secret typed."""
    page = browser.get(f"{PATH}?from={TASK}").text
    assert "***" not in page
    assert "type it again" in page
    return {
        "seed": values_of(page, "seed"),
        "masked": values_of(page, "masked"),
        "json": values_of(page, "json"),
        "/to": "ada",
        "/copies": "null",
        "queue": "low",
        "tags": "night",
        "max_attempts": "9",
    }


def test_a_task_is_submitted_again_with_its_parameters_and_options() -> None:
    api, browser = signed_in()
    form = begun(browser)
    assert (form["masked"], form["json"]) == (["/logins/0/password"], ["/logins", "/copies"])
    empty = browser.post(PATH, None, **form, **{"/logins": '[{"password": ""}]'})
    assert (empty.status_code, api.changes()) == (422, [])
    browser.post(PATH, None, **form, **{"/logins": '[{"password": "s"}]'})
    (call,) = api.changes()
    assert json.loads(call.content) == {
        "name": "mail.send",
        "params": {"to": "ada", "logins": [{"password": "s"}], "copies": None},
        "queue": "low",
        "tags": ["night"],
        "max_attempts": 9,
    }


def test_a_form_that_is_sent_twice_has_one_idempotency_key() -> None:
    api, browser = signed_in()
    seed = values_of(browser.get(PATH).text, "seed")
    for name in ("ada", "ada", "grace"):
        browser.post(PATH, None, seed=seed, **{"/to": name})
    first, second, other = (call.headers["Idempotency-Key"] for call in api.changes())
    assert first == second != other


def test_a_unique_key_that_is_held_is_told_above_what_was_typed() -> None:
    api, browser = signed_in()
    api.refusal = (409, {"status": 409, "code": "not_unique", "detail": "Another task has the key."})
    answer = browser.post(PATH, None, seed="x", unique_key="k", **{"/to": "ada <typed>"})
    assert answer.status_code == 422
    assert "Another task has the key." in answer.text
    assert 'value="ada &lt;typed&gt;"' in answer.text


def test_a_task_of_another_type_is_no_beginning() -> None:
    _, browser = signed_in()
    assert browser.get(f"/task-types/other.type/submit?from={TASK}").status_code == 404
    assert browser.get(f"{PATH}?from=x").status_code == 404
