"""Against a stack: `set -a; . .taskyard/dev.env; set +a; pytest`."""

import os
from uuid import uuid4

import django
import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "signup.settings")
django.setup()

from django.test import Client  # noqa: E402 - Django has to be set up before


@pytest.fixture
def browser() -> Client:
    return Client()


def test_a_sign_up_is_a_task_that_can_be_followed(browser: Client) -> None:
    body = {"to_email": f"{uuid4().hex}@example.org", "username": "Ada"}
    answer = browser.post("/sign-up", body, content_type="application/json", headers={"X-Request-ID": "sign-up-1"})
    assert answer.status_code == 202
    task_id = answer.json()["task_id"]
    events = browser.get(f"/tasks/{task_id}/events").getvalue().decode()
    assert "event: submitted" in events
    *_, last, end = events.split("event: ")
    assert last.startswith("succeeded")
    assert end == "end\ndata: {}\n\n", "by which the page closes the stream"
    task = browser.get(f"/tasks/{task_id}").json()
    assert (task["state"], task["request_id"]) == ("succeeded", "sign-up-1")
    again = browser.post("/sign-up", body, content_type="application/json")
    assert again.json()["task_id"] == task_id


def test_a_refusal_is_told_with_its_places(browser: Client) -> None:
    answer = browser.post("/sign-up", {"to_email": "nobody", "username": "Ada"}, content_type="application/json")
    assert answer.status_code == 422
    assert [place for place, _ in answer.json()["errors"]] == ["/params/to_email"]
    assert browser.get(f"/tasks/{uuid4()}").status_code == 404
