"""Against a stack: `set -a; . .taskyard/dev.env; set +a; pytest`."""

from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from signup import create_app


@pytest.fixture
def browser() -> FlaskClient:
    return create_app().test_client()


def test_a_sign_up_is_a_task_that_can_be_followed(browser: FlaskClient) -> None:
    body = {"to_email": f"{uuid4().hex}@example.org", "username": "Ada"}
    answer = browser.post("/sign-up", json=body, headers={"X-Request-ID": "sign-up-1"})
    assert answer.status_code == 202
    task_id = answer.json["task_id"]
    events = browser.get(f"/tasks/{task_id}/events").text
    assert "event: submitted" in events
    *_, last, end = events.split("event: ")
    assert last.startswith("succeeded")
    assert end == "end\ndata: {}\n\n", "by which the page closes the stream"
    task = browser.get(f"/tasks/{task_id}").json
    assert (task["state"], task["request_id"]) == ("succeeded", "sign-up-1")
    assert browser.post("/sign-up", json=body).json["task_id"] == task_id


def test_a_refusal_is_told_with_its_places(browser: FlaskClient) -> None:
    answer = browser.post("/sign-up", json={"to_email": "nobody", "username": "Ada"})
    assert answer.status_code == 422
    assert [place for place, _ in answer.json["errors"]] == ["/params/to_email"]
    assert browser.get(f"/tasks/{uuid4()}").status_code == 404
