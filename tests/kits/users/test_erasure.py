"""users.erase: nothing of a person is left in the ledger, and nothing of others is lost."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed, State
from taskyard.running.upkeep import Upkeep
from taskyard.store.persons import ERASED
from tests.kits.conftest import Run
from tests.kits.users.conftest import ADA, Person

BLANK = orjson.loads(ERASED)


def test_the_user_goes_with_profile_statistics_and_activity(ada: Person) -> None:
    ada.do("INSERT INTO user_profiles (id, user_id, task_id) VALUES (:id, 7, :id)", id=new_id())
    ada.do("INSERT INTO user_activity (task_id, user_id, login_count) VALUES (:id, 7, 1)", id=new_id())
    counts = dict.fromkeys(
        ("cancelled", "blanked", "mentions", "limits", "mentions_left", "deliveries_left", "answers"), 0
    )
    assert ada.erase().result == {**counts, "left": [], "schedules": [], "schedule_files": [], "same_address": []}
    for table in ("users", "user_profiles", "user_activity"):
        assert ada.do(f"SELECT count(*) FROM {table}").scalar() == 0


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("users.update_stats", {"user_id": 7}),
        ("notifications.send", {"user_id": 7, "message": "Hello Ada"}),
        ("email.send_welcome", {"to_email": ADA.lower(), "username": "Ada"}),
    ],
)
def test_of_a_task_about_the_person_its_times_and_its_outcome_are_left(
    ada: Person, name: str, params: dict[str, Any]
) -> None:
    error = {"code": "odd", "message": f"{ADA} is odd", "values": {"who": ADA}, "attempt": 1}
    task_id = ada.put(name, State.FAILED, params=params, result={"recipient": ADA}, error=error, tags=["ada"])
    other = ada.put(name, params={"user_id": 8, "to_email": "x" + ADA})
    ada.do(
        """INSERT INTO task_attempt (task_id, attempt, outcome, queue, error, traceback)
        VALUES (:id, 1, 'failed', 'default', CAST(:error AS jsonb), 'Ada')""",
        id=task_id,
        error=orjson.dumps(error).decode(),
    )
    ada.do(
        """INSERT INTO task_event (task_id, attempt, kind, data) VALUES (:id, 1, 'log', '{"message": "Ada"}')""",
        id=task_id,
    )
    ada.do(
        "INSERT INTO task_progress (task_id, attempt, current, message) VALUES (:id, 1, 3, 'Sending to Ada')",
        id=task_id,
    )
    before = ada.read(task_id)
    assert ada.erase(dry_run=True).result["blanked"] == 1
    assert ada.read(task_id) == before
    assert ada.erase().result["blanked"] == 1
    after = ada.read(task_id)
    assert (after.params, after.result, after.tags) == (BLANK, BLANK, [])
    assert after.error == {"code": "odd", "message": "What was said of this failure was erased.", "attempt": 1}
    assert (after.state, after.finished_at, after.attempt) == (before.state, before.finished_at, before.attempt)
    assert after.discarded_at is not None, "a retry could only fail"
    assert ada.read(other).params["user_id"] == 8
    assert "Ada" not in ada.all_that_is_stored().replace("x" + ADA, "")
    assert ada.erase().result["blanked"] == 0


@pytest.mark.parametrize("state", [State.QUEUED, State.SCHEDULED, State.RETRYING, State.BLOCKED])
def test_a_task_about_the_person_that_waits_is_cancelled(ada: Person, state: State) -> None:
    task_id, other = ada.put(state=state), ada.put(state=state, params={"user_id": 77})
    assert ada.erase(dry_run=True).result["cancelled"] == 1
    result = ada.erase().result
    assert (result["cancelled"], result["blanked"]) == (1, 1)
    assert (ada.read(task_id).state, ada.read(task_id).params) == ("cancelled", BLANK)
    assert ada.read(other).state == str(state)


def test_what_a_task_submitted_that_has_ended_goes_on(ada: Person) -> None:
    parent, waits = ada.put(), ada.put(state=State.QUEUED)
    goes_on = ada.put("diagnostics.echo", State.QUEUED, params={"value": 8}, parent_id=parent)
    follows = ada.put("diagnostics.echo", State.QUEUED, params={"value": 8}, parent_id=waits)
    assert ada.erase().result["cancelled"] == 2
    assert (ada.read(goes_on).state, ada.read(follows).state) == ("queued", "cancelled")


def test_a_task_that_runs_is_asked_to_end_and_erased_when_it_has(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = ada.put(state=State.RUNNING)

    def ends(_seconds: float) -> None:
        assert ada.read(task_id).cancel_requested_at is not None
        ada.do(
            "UPDATE task SET state = 'cancelled', claim = NULL, finished_at = now(), result = '{\"who\": \"Ada\"}'"
            " WHERE id = :id",
            id=task_id,
        )

    monkeypatch.setattr("taskyard_kits.users.erasure.time.sleep", ends)
    assert ada.erase().result["blanked"] == 1
    assert (ada.read(task_id).params, ada.read(task_id).result) == (BLANK, BLANK)


def test_in_tasks_about_others_too_only_the_address_is_replaced(ada: Person) -> None:
    """A newsletter goes to the others nevertheless."""
    params = {"recipients": [{"to_email": ADA.upper()}, {"to_email": "x" + ADA}, {"to_email": ADA + ".hu"}]}
    waits = ada.put("email.send_newsletter", State.QUEUED, params=params)
    logs = ada.put("diagnostics.echo", params={"value": 1})
    ada.do(
        "INSERT INTO task_event (task_id, attempt, kind, data) VALUES (:id, 1, 'log', CAST(:data AS jsonb))",
        id=logs,
        data=orjson.dumps({"message": f"Sent to <{ADA}>."}).decode(),
    )
    assert ada.erase().result["mentions"] == 2
    assert (ada.read(waits).state, ada.read(logs).params) == ("queued", {"value": 1})
    assert [entry["to_email"] for entry in ada.read(waits).params["recipients"]] == [
        "erased@erased.invalid",
        "x" + ADA,
        ADA + ".hu",
    ]
    assert ada.do("SELECT data FROM task_event").scalar() == {"message": "Sent to <erased@erased.invalid>."}


def test_deliveries_of_what_became_of_such_a_task_are_erased_whatever_their_ids(ada: Person) -> None:
    chosen = ada.put(id=UUID(int=(1 << 128) - 1))
    payload = {"type": "task.succeeded", "data": {"id": str(chosen), "result": {"name": "Ada"}}}
    done = ada.put("webhooks.deliver", params={"endpoint_id": str(uuid4()), "url": "u", "payload": payload})
    waits = ada.put("webhooks.deliver", State.QUEUED, params={"url": "u", "progress_of": str(chosen)})
    assert ada.erase().result["blanked"] == 3
    assert ada.read(done).params == ada.read(waits).params == BLANK
    assert ada.read(waits).state == "cancelled"


def test_a_delivery_that_outlives_its_task_is_erased_where_it_has_the_address_and_else_counted(ada: Person) -> None:
    def put(state: State, kind: str = "task.succeeded", **data: Any) -> UUID:
        payload = {"type": kind, "data": {"id": str(new_id()), **data}}
        params = {"endpoint_id": str(uuid4()), "url": "u", "payload": payload}
        return ada.put("webhooks.deliver", state, params=params)

    hers = put(State.FAILED, result={"name": "Ada", "to": ADA})
    of_others = put(State.FAILED, result={"name": "Grace"})
    waits, of_flow = put(State.QUEUED, result={"name": "Ada"}), put(State.SUCCEEDED, "workflow.succeeded", result={})
    tells_nothing = put(State.SUCCEEDED)
    before = {task_id: ada.read(task_id) for task_id in (of_others, waits, of_flow, tells_nothing)}
    for dry_run in (True, False):
        result = ada.erase(dry_run=dry_run).result
        assert (result["blanked"], result["mentions"], result["deliveries_left"]) == (1, 0, 1)
    assert ada.read(hers).params == BLANK
    assert {task_id: ada.read(task_id) for task_id in before} == before


def test_answers_that_are_kept_are_blank_and_keep_their_status(ada: Person) -> None:
    task_id = ada.put()
    location = {"Location": f"/api/v1/tasks/{task_id}"}
    for key, headers, answer in (
        ("submit", location, {"params": {"user_id": 7}}),
        ("other", {"Location": f"/api/v1/tasks/{new_id()}"}, {"params": {"user_id": 8}}),
        ("mention", {}, {"to": ADA}),
        (f"welcome {ADA}", {}, {}),
    ):
        ada.do(
            "INSERT INTO idempotency_key (api_key_id, key, fingerprint, status, headers, answer)"
            " VALUES (:id, :key, '', 202, CAST(:headers AS jsonb), :answer)",
            id=uuid4(),
            key=key,
            headers=orjson.dumps(headers).decode(),
            answer=orjson.dumps(answer),
        )
    for dry_run in (True, False):
        assert ada.erase(dry_run=dry_run).result["answers"] == 3
    kept = ada.do("SELECT key, status, convert_from(answer, 'UTF8') FROM idempotency_key ORDER BY key").all()
    assert [tuple(row) for row in kept] == [
        ("mention", 202, ERASED),
        ("other", 202, '{"params":{"user_id":8}}'),
        ("submit", 202, ERASED),
    ]


def test_a_task_that_no_call_of_the_api_asked_for_erases_nothing(ada: Person, run: Run, upkeep: Upkeep) -> None:
    """Who may only submit tasks cannot erase."""
    task_id = ada.put()
    outcome = run("users.erase", {"user_id": 7}, upkeep=upkeep).outcome
    assert isinstance(outcome, Failed)
    assert (outcome.fault.code, outcome.fault.retryable) == ("erasure_not_asked", False)
    assert ada.read(task_id).params == {"user_id": 7}


def test_a_person_of_whom_no_user_was_written_is_erased_by_the_id(ada: Person) -> None:
    ada.do("DELETE FROM users")
    task_id = ada.put()
    assert ada.erase().result["blanked"] == 1
    assert ada.read(task_id).params == BLANK
