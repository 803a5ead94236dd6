"""`error.message` is in the requested language wherever a failure is shown."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from taskyard.domain.explanations import explained
from taskyard.domain.retry import RetryPolicy
from taskyard.lifecycle import promote
from taskyard.running.outcomes import of_error
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker

GERMAN = {"Accept-Language": "de-CH, en;q=0.7"}
REFUSED = explained("smtp_refused", retryable=False, what="the recipient", answer="550 nobody here")
IN_GERMAN = (
    "Der Mailserver hat den Empfänger abgelehnt (550 nobody here)."
    " Prüfen Sie Adresse und Nachricht und senden Sie sie neu."
)


@pytest.fixture
def refused(api: Api) -> str:
    """The id of a task that failed with a message of the platform."""
    worker, task = Worker(api.engine), str(api.submit()["id"])
    worker.begin(task)
    worker.end(task, of_error(REFUSED, RetryPolicy(), failures=1, max_attempts=1, redact=str))
    return task


def _task(found: Any) -> str:
    return str(found["error"]["message"])


def _listed(found: Any) -> str:
    return str(found["items"][0]["error"]["message"])


def _status(found: Any) -> str:
    assert found["info"] == found["error"]
    return str(found["error"])


def _timeline(found: Any) -> str:
    return str(found["items"][-1]["data"]["error"]["message"])


READS: list[tuple[str, Callable[[Any], str]]] = [
    ("/api/v1/tasks/{}", _task),
    ("/api/v1/tasks", _listed),
    ("/api/v1/dead-letters", _listed),
    ("/api/v1/tasks/{}/status", _status),
    ("/api/v1/tasks/{}/events", _timeline),
]


@pytest.mark.parametrize(("path", "message_of"), READS, ids=[path for path, _ in READS])
def test_a_failure_is_shown_in_the_requested_language(
    api: Api, refused: str, path: str, message_of: Callable[[Any], str]
) -> None:
    def read(headers: dict[str, str]) -> httpx.Response:
        answer = api.http.get(path.format(refused), headers=headers)
        assert "Accept-Language" in answer.headers["Vary"]
        return answer

    german, english = read(GERMAN), read({"Accept-Language": "nl"})
    assert (message_of(german.json()), german.headers["Content-Language"]) == (IN_GERMAN, "de")
    assert (message_of(english.json()), english.headers["Content-Language"]) == (REFUSED.message, "en")


def test_live_events_are_in_the_requested_language(api: Api, refused: str) -> None:
    headers = {**GERMAN, "Accept": "text/event-stream"}
    answer = api.http.get(f"/api/v1/tasks/{refused}/events", headers=headers)
    assert (answer.headers["Vary"], answer.headers["Content-Language"]) == ("Accept-Language", "de")
    *_, last = (json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: "))
    assert last["data"]["error"]["message"] == IN_GERMAN


def test_code_support_url_and_a_tasks_own_message_are_not_translated(api: Api, refused: str) -> None:
    error = api.http.get(f"/api/v1/tasks/{refused}", headers=GERMAN).json()["error"]
    kept = {key: value for key, value in error.items() if key != "message"}
    assert kept == {
        "code": "smtp_refused",
        "type": "TaskError",
        "retryable": False,
        "attempt": 1,
        "support_url": "https://support.example.org",
    }
    worker, own = Worker(api.engine), api.submit()["id"]
    worker.begin(own)
    worker.fail(own)
    answer = api.http.get(f"/api/v1/tasks/{own}", headers=GERMAN)
    assert answer.json()["error"]["message"] == "It went wrong."
    assert "Content-Language" not in answer.headers


def test_messages_composed_in_sql_are_translated(api: Api) -> None:
    worker = Worker(api.engine)
    crashed, old = api.submit()["id"], api.submit(delay_seconds=60)["id"]
    worker.begin(crashed)
    worker.crash(crashed, limit=1)
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE task SET expires_at = '2026-01-01T00:00:00Z' WHERE id = :id"), {"id": old})
        assert promote.expire(conn).changes
    told = {
        task: api.http.get(f"/api/v1/tasks/{task}", headers={"Accept-Language": "fr"}).json()["error"]["message"]
        for task in (crashed, old)
    }
    assert told == {
        crashed: "La tâche a mis fin à son processus 1 fois, la dernière fois ainsi : killed by signal 9 (SIGKILL)."
        " Cherchez-en la raison dans ses paramètres et son journal, puis relancez-la.",
        old: "La tâche n'était pas terminée le 2026-01-01T00:00:00Z. Relancez-la si elle est encore utile.",
    }
    timeline = api.http.get(f"/api/v1/tasks/{crashed}/events", headers={"Accept-Language": "fr"}).json()["items"]
    messages = [event["data"]["error"]["message"] for event in timeline if event["kind"] == "crashed"]
    assert messages == ["Le processus qui exécutait la tâche s'est terminé : killed by signal 9 (SIGKILL)."]
