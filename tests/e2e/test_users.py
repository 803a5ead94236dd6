"""Users, from the call to the mail and the profile: real processes, and a real mail server at the other end."""

from __future__ import annotations

from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from taskyard_dev.smtp_sink import smtp_sink
from tests.support.fleet import Fleet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

EVA = {"email": "eva@example.org", "name": "Eva"}


def start(fleet: Fleet, **more: str) -> None:
    fleet.environment.update(more)
    fleet.start_all()


def submit(fleet: Fleet, name: str) -> str:
    answer = fleet.http.post("/tasks", json={"name": name, "params": {"user_id": 7}})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def user(fleet: Fleet) -> Any:
    return fleet.http.get("/users/7").json()


def test_a_user_is_welcomed_and_gets_a_profile_and_statistics(fleet: Fleet, tmp_path: Path) -> None:
    mails = tmp_path / "mails"
    mails.mkdir()
    with smtp_sink(mails) as port:
        start(fleet, TASKYARD_SMTP_HOST="127.0.0.1", TASKYARD_SMTP_PORT=str(port), TASKYARD_SMTP_SECURITY="none")
        assert fleet.http.put("/users/7", json=EVA).status_code == 201
        welcome = fleet.http.post("/send-welcome", json={"user_id": 7}).json()["task_id"]
        tasks = [submit(fleet, name) for name in ("users.create_profile", "users.update_stats", "users.update_stats")]
        for task in (welcome, *tasks):
            fleet.wait_state(task, "succeeded")
    (mail,) = mails.glob("*.eml")
    message = message_from_bytes(mail.read_bytes(), policy=policy.default)
    assert message["To"] == "eva@example.org"
    assert "Eva" in str(message)
    assert user(fleet)["statistics"]["login_count"] == 2
    assert user(fleet)["profile"]["profile_id"] == fleet.http.get(f"/tasks/{tasks[0]}").json()["result"]["profile_id"]


def test_a_login_counts_once_where_the_process_dies_before_its_end_is_recorded(fleet: Fleet, tmp_path: Path) -> None:
    start(fleet, TASKYARD_FAILPOINTS="finish.before", TASKYARD_TEMP_DIR=str(tmp_path / "temp"))
    fleet.http.put("/users/7", json=EVA)
    task = submit(fleet, "users.update_stats")
    fleet.wait_state(task, "succeeded", seconds=60)
    assert (tmp_path / "temp/failpoints/finish.before").exists(), "it died there"
    found = fleet.http.get(f"/tasks/{task}").json()
    assert found["attempt"] == 2
    assert found["result"]["login_count"] == user(fleet)["statistics"]["login_count"] == 1
