"""What a reader of few rights is offered, refused and told."""

from __future__ import annotations

from uuid import UUID

import httpx2
import pytest

from .console_app import Api, Browser

ID = str(UUID(int=7))
TASK = f"/tasks/{ID}"


class WorkflowApi(Api):
    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        first = super().__call__(request)
        if (request.method, request.url.path) == ("POST", "/api/v1/workflows"):
            return httpx2.Response(202, json={"id": ID, "state": "running"})
        return first


def test_rights_that_the_key_lacks_are_neither_offered_nor_given() -> None:
    browser = Browser(Api("read"))
    browser.sign_in()
    page = browser.get("/tasks").text
    assert not [
        offered for offered in ("/tasks/selection", "/operations/new", "Cancel the selected") if offered in page
    ]
    actions = [f"{TASK}/{verb}" for verb in ("cancel", "retry", "discard", "restore", "change")]
    for path in (*actions, "/task-types/a.b/submit", "/tasks/selection", "/operations/new"):
        assert browser.post(path).status_code == 403, path
    for path in (f"{TASK}/change", "/task-types/a.b/submit", "/operations/new?action=cancel"):
        assert browser.get(path).status_code == 403, path
    assert browser.api.changes() == []


def test_a_read_only_console_changes_nothing_even_for_an_administrator() -> None:
    browser = Browser(Api("admin"), console_read_only=True)
    browser.sign_in()
    browser.get("/tasks")
    assert browser.post(f"{TASK}/cancel").status_code == 403
    assert browser.api.changes() == []


@pytest.mark.parametrize(
    ("scopes", "offered"),
    [
        (["submit"], {"/workflows/new", "diagnostics.echo"}),
        (["manage"], {"/tasks/ID/cancel"}),
        (["submit", "manage"], {"/workflows/new", "diagnostics.echo", "/tasks/ID/cancel"}),
        (["metrics"], {"It may do nothing here."}),
    ],
)
def test_a_key_without_read_is_told_what_it_may_do_and_shown_no_page(scopes: list[str], offered: set[str]) -> None:
    browser = Browser(Api(*scopes))
    browser.sign_in()
    browser.api.calls.clear()
    first, tasks = browser.get("/"), browser.get("/tasks")
    for page in (first, tasks):
        assert page.status_code == 403
        every = ("/workflows/new", "diagnostics.echo", "/tasks/ID/cancel", "It may do nothing here.")
        assert {one for one in every if one in page.text} == offered
    assert ('role="alert"' in first.text, 'role="alert"' in tasks.text) == (False, True)
    assert browser.api.calls == []


def test_a_workflow_of_a_key_without_read_is_told_by_its_id() -> None:
    browser = Browser(WorkflowApi("submit"))
    browser.sign_in()
    browser.get("/workflows/new")
    answer = browser.post("/workflows/new", None, workflow='{"steps": {}}', seed="x")
    assert answer.headers["location"] == "/workflows/new"
    assert f"The workflow was submitted: {ID}" in browser.get("/workflows/new").text
