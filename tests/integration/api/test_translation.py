"""`error.message` is in the requested language wherever a failure is shown."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import httpx
import pytest
import sqlalchemy as sa
from pydantic import BaseModel, ValidationError

from taskyard.catalogue.kits import load
from taskyard.catalogue.spec import spec_of
from taskyard.catalogue.types import TaskType
from taskyard.domain.errors import TaskError
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Failed
from taskyard.lifecycle import promote
from taskyard.running.outcomes import not_stored, of_error, of_return, unreadable
from taskyard.settings import Settings
from taskyard.store import task_types
from taskyard.store.audit import Actor
from tests.integration.api.conftest import Api
from tests.integration.api.voucher import VOUCHER
from tests.integration.api.worker import Worker
from tests.support.fleet import wait_for
from tests.support.specs import register_worker

EMAIL = load(Settings()).catalogue["email.send"]
MAIL = {"to_email": "a@example.org", "subject": "s", "text": "t"}
GERMAN = {"Accept-Language": "de-CH, en;q=0.7"}
REFUSED = TaskError("smtp_refused", retryable=False, what={"phrase": "recipient"}, answer="550 nobody here")
IN_ENGLISH = (
    "The mail server refused the recipient (550 nobody here). Check the address and the message, then send it anew."
)
IN_GERMAN = (
    "Der Mailserver hat den Empfänger abgelehnt (550 nobody here)."
    " Prüfen Sie Adresse und Nachricht und senden Sie sie neu."
)


@pytest.fixture
def refused(api: Api) -> str:
    """The id of a task that failed with a message of the platform."""
    return failed(api, REFUSED, EMAIL, **MAIL)


def failed(api: Api, error: Exception, kind: TaskType[Any, Any], **params: Any) -> str:
    """The id of a task of that type that failed with that error."""
    worker, task = Worker(api.engine), str(api.submit(kind.name, params=params)["id"])
    worker.begin(task)
    ended = of_error(error, RetryPolicy(), failures=1, max_attempts=1, vocabulary=kind.vocabulary)
    worker.end(task, ended)
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
    assert (message_of(english.json()), english.headers["Content-Language"]) == (IN_ENGLISH, "en")


def test_the_address_of_help_stands_wherever_a_failure_is_shown(api: Api, refused: str) -> None:
    for path, _ in READS:
        assert '"support_url":"https://support.example.org"' in api.http.get(path.format(refused)).text, path
    live = api.http.get(f"/api/v1/tasks/{refused}/events", headers={"Accept": "text/event-stream"}).text
    assert '"support_url":"https://support.example.org"' in live


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
        crashed: "La tâche a mis fin à son processus 1 fois, la dernière fois ainsi : arrêté par le signal 9 (SIGKILL)."
        " Cherchez-en la raison dans ses paramètres et son journal, puis relancez-la.",
        old: "La tâche n'était pas terminée le 2026-01-01T00:00:00Z. Relancez-la si elle est encore utile.",
    }
    timeline = api.http.get(f"/api/v1/tasks/{crashed}/events", headers={"Accept-Language": "fr"}).json()["items"]
    messages = [event["data"]["error"]["message"] for event in timeline if event["kind"] == "crashed"]
    assert messages == ["Le processus qui exécutait la tâche s'est terminé : arrêté par le signal 9 (SIGKILL)."]


DEAR = TaskError("voucher_expired", voucher="A-7", days=3)


@pytest.mark.parametrize(
    ("language", "sentence", "told_in"),
    [
        ("nl-BE, de;q=0.5", "Bon A-7 is 3 dagen verlopen.", "nl"),
        ("hu, nl;q=0.5", "Bon A-7 is 3 dagen verlopen.", "nl"),
        ("en", "The voucher A-7 expired 3 days ago.", "en"),
        ("hu", "The voucher A-7 expired 3 days ago.", "en"),
        ("en-GB, nl", "The voucher A-7 expired 3 days ago.", "en"),
    ],
)
def test_a_users_type_is_told_in_the_readers_language_where_it_has_words(
    start_api: Callable[..., Api], language: str, sentence: str, told_in: str
) -> None:
    api = start_api(modules=["tests.integration.api.voucher"])
    task = failed(api, DEAR, VOUCHER)
    headers = {"Accept-Language": language}
    answer = api.http.get(f"/api/v1/tasks/{task}", headers=headers)
    assert (answer.json()["error"]["message"], answer.headers["Content-Language"]) == (sentence, told_in)
    live = api.http.get(f"/api/v1/tasks/{task}/events", headers={**headers, "Accept": "text/event-stream"})
    assert told_in in live.headers["Content-Language"].split(", ")
    assert sentence in live.text


def test_after_the_type_is_gone_its_failures_keep_their_english_sentence(start_api: Callable[..., Api]) -> None:
    task = failed(start_api(modules=["tests.integration.api.voucher"]), DEAR, VOUCHER)
    api = start_api(registered=False)
    with api.engine.begin() as conn:
        conn.execute(sa.text("UPDATE worker SET stopped_at = now()"))
        assert task_types.forget(conn, VOUCHER.name, None, Actor("test"), lease=api.settings.worker_lease).versions
    wait_for(lambda: api.http.post("/api/v1/tasks", json={"name": VOUCHER.name}).status_code == 422, 10, "the news")
    answer = api.http.get(f"/api/v1/tasks/{task}", headers={"Accept-Language": "nl"})
    assert answer.json()["error"]["message"] == "The voucher A-7 expired 3 days ago."
    assert "Content-Language" not in answer.headers


@pytest.mark.parametrize("of_a_user", [False, True])
def test_rewording_an_english_sentence_leaves_translations_and_stored_failures_working(
    start_api: Callable[..., Api], of_a_user: bool
) -> None:
    """For the words of a kit of ours, and of a user's type."""
    api = start_api(modules=["tests.integration.api.voucher"])
    kind, code, error, params, languages = (
        (VOUCHER, "voucher_expired", DEAR, {}, ["nl"])
        if of_a_user
        else (EMAIL, "smtp_refused", REFUSED, MAIL, ["de", "fr", "hu"])
    )
    stored = failed(api, error, kind, **params)

    def told(task: str, language: str) -> str:
        return _task(api.http.get(f"/api/v1/tasks/{task}", headers={"Accept-Language": language}).json())

    def row() -> Any:
        with api.engine.connect() as conn:
            return conn.execute(sa.text("SELECT error FROM task WHERE id = :id"), {"id": stored}).scalar_one()

    before, translated = row(), {language: told(stored, language) for language in languages}
    assert before["message"] not in translated.values()
    words = {**kind.errors[code], "en": "Reworded: {answer}." if kind is EMAIL else "Reworded: {voucher}."}
    reworded = replace(kind, errors={**kind.errors, code: words})
    register_worker(api.engine, spec_of(reworded))
    wait_for(lambda: told(stored, "en").startswith("Reworded: "), 10, "the new words", every=0.2)
    assert {language: told(stored, language) for language in languages} == translated
    assert row() == before, "its English sentence outlives the spec"
    later = failed(api, error, reworded, **params)
    assert {language: told(later, language) for language in languages} == translated
    assert told(later, "en").startswith("Reworded: ")


def test_a_platforms_failure_is_told_in_todays_words_whatever_sentence_was_stored(api: Api) -> None:
    worker, task = Worker(api.engine), str(api.submit()["id"])
    worker.begin(task)
    worker.crash(task, limit=1)
    with api.engine.connect() as conn:
        reword = 'UPDATE task SET error = error || \'{"message": "It was said otherwise then."}\' WHERE id = :id'
        conn.execute(sa.text(reword), {"id": task})
    told = {
        language: _task(api.http.get(f"/api/v1/tasks/{task}", headers={"Accept-Language": language}).json())
        for language in ("en", "de", "fr", "hu")
    }
    assert len(set(told.values())) == 4
    assert all("9 (SIGKILL)" in sentence for sentence in told.values())


def test_a_message_given_with_values_serves_languages_without_words(start_api: Callable[..., Api]) -> None:
    api = start_api(modules=["tests.integration.api.voucher"])
    for error, dutch in (
        (TaskError("voucher_expired", "Too late.", voucher="A-7", days=3), "Bon A-7 is 3 dagen verlopen."),
        (TaskError("voucher_expired", "Too late."), "Too late."),
        (TaskError("voucher_torn", "It is torn.", page=2), "It is torn."),
    ):
        answer = api.http.get(f"/api/v1/tasks/{failed(api, error, VOUCHER)}", headers={"Accept-Language": "nl"})
        assert answer.json()["error"]["message"] == dutch


def test_failures_that_the_release_before_writes_are_shown_in_their_sentence(api: Api) -> None:
    """Its workers run on during an update, and write neither values nor kind."""
    task = str(api.submit()["id"])
    sentence = "It was not finished by 2026-01-01T00:00:00Z. Retry it where it is still wanted."
    old = {"code": "expired", "type": "Expired", "retryable": True, "attempt": 0, "message": sentence}
    write = "UPDATE task SET state = 'failed', finished_at = now(), error = CAST(:old AS jsonb) WHERE id = :id"
    with api.engine.connect() as conn:
        conn.execute(sa.text(write), {"id": task, "old": json.dumps(old)})
    for path, message_of in READS:
        answer = api.http.get(path.format(task), headers=GERMAN)
        assert message_of(answer.json()) == sentence, path


def test_values_stay_out_of_what_callers_see(api: Api, refused: str) -> None:
    for path, _ in READS:
        text = api.http.get(path.format(refused)).text
        assert '"values"' not in text
        assert '"exception"' not in text
    with api.engine.connect() as conn:
        error = conn.execute(sa.text("SELECT error FROM task WHERE id = :id"), {"id": refused}).scalar_one()
    assert error == {
        "code": "smtp_refused",
        "values": {"what": {"phrase": "recipient"}, "answer": "550 nobody here"},
        "message": IN_ENGLISH,
        "type": "TaskError",
        "kind": "exception",
        "retryable": False,
        "attempt": 1,
    }


def test_task_types_are_shown_with_their_error_codes_and_words(start_api: Callable[..., Api]) -> None:
    api = start_api(modules=["tests.integration.api.voucher"])
    shown = api.http.get("/api/v1/task-types/tests.voucher").json()["errors"]
    assert shown == {"voucher_expired": {"words": dict(VOUCHER.errors["voucher_expired"])}}
    listed = {item["name"]: item["errors"] for item in api.http.get("/api/v1/task-types").json()["items"]}
    assert listed["tests.voucher"] == shown
    assert set(listed["email.send"]["smtp_refused"]["words"]) == {"en", "de", "fr", "hu"}


@pytest.mark.parametrize(
    ("language", "queued", "running"),
    [
        ("en", "The task was cancelled.", "The task was asked to stop."),
        ("de", "Die Aufgabe wurde abgebrochen.", "Die Aufgabe wurde aufgefordert anzuhalten."),
        ("fr", "La tâche a été annulée.", "La tâche a reçu l'ordre de s'arrêter."),
        ("hu", "A feladatot megszakítottuk.", "A feladat leállítási kérést kapott."),
    ],
)
def test_a_cancellation_is_told_in_the_readers_language_and_its_repeat_as_the_first_time(
    api: Api, language: str, queued: str, running: str
) -> None:
    waits, runs = api.submit()["id"], api.submit()["id"]
    Worker(api.engine).begin(runs)
    for task, told in ((waits, queued), (runs, running)):
        headers = {"Accept-Language": language, "Idempotency-Key": f"cancel {task}"}
        first = api.http.post(f"/api/v1/tasks/{task}/cancel", headers=headers)
        assert (first.json()["message"], first.headers["Content-Language"]) == (told, language)
        again = api.http.post(f"/api/v1/tasks/{task}/cancel", headers={**headers, "Accept-Language": "x"})
        assert (again.json()["message"], again.headers["Content-Language"]) == (told, language)
    status = api.http.get(f"/api/v1/tasks/{waits}/status", headers={"Accept-Language": language}).json()["status"]
    assert (status == "Cancelled") == (language == "en")


@pytest.mark.parametrize("path", ["", "/batch"])
@pytest.mark.parametrize("key", [None, "k"])
def test_warnings_of_a_submit_are_told_in_the_readers_language(api: Api, path: str, key: str | None) -> None:
    with api.engine.begin() as conn:
        conn.execute(sa.text("UPDATE worker SET stopped_at = now()"))
    wanted = {"name": "diagnostics.echo", "params": {"value": 1}}

    def told() -> httpx.Response:
        headers = {**GERMAN, **({} if key is None else {"Idempotency-Key": key})}
        body = {"tasks": [wanted]} if path else wanted
        return api.http.post(f"/api/v1/tasks{path}", json=body, headers=headers)

    wait_for(lambda: "warnings" in api.submit(), 10, "the news that no worker is left", every=0.2)
    for _ in range(2):
        answer = told()
        assert answer.headers["Content-Language"] == "de"
        assert answer.json()["warnings"] == [
            {
                "code": "no_live_worker",
                "message": "Kein aktiver Worker führt diagnostics.echo in der Warteschlange default aus:"
                " Die Aufgabe wartet auf einen.",
            }
        ]


class Wanted(BaseModel):
    number: int
    inner: dict[str, Literal["a", "b"]] = {}


def _unfit() -> Exception:
    with pytest.raises(ValidationError) as caught:
        Wanted.model_validate({"number": "hunter2", "inner": {"x": "hunter2"}, "more": 1})
    return caught.value


@pytest.mark.parametrize(
    ("outcome", "language", "sentence"),
    [
        (
            unreadable(_unfit()),
            "de",
            (
                "Die Parameter passen nicht zum Aufgabentyp: "
                "`number` muss eine ganze Zahl sein; `inner.x` muss 'a' oder 'b' sein"
            ),
        ),
        (
            unreadable(_unfit()),
            "en",
            "The parameters do not fit the task type: `number` must be a valid integer; `inner.x` must be 'a' or 'b'",
        ),
        (
            of_return(VOUCHER, None),
            "fr",
            "Ce que la tâche a renvoyé ne correspond pas au résultat déclaré : elle a renvoyé None et déclare Result",
        ),
        (
            not_stored(TypeError("Type is not JSON serializable: X")),
            "hu",
            "Amit a feladat visszaadott, nem tárolható: nem JSON: Type is not JSON serializable: X",
        ),
    ],
)
def test_why_data_do_not_fit_is_told_in_the_readers_language(
    api: Api, outcome: Failed, language: str, sentence: str
) -> None:
    worker, task = Worker(api.engine), str(api.submit()["id"])
    worker.begin(task)
    worker.end(task, outcome)
    for path, message_of in READS:
        answer = api.http.get(path.format(task), headers={"Accept-Language": language})
        assert message_of(answer.json()) == sentence
        assert answer.headers["Content-Language"] == language
        assert "hunter2" not in answer.text
