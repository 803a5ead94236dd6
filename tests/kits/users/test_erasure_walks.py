"""users.erase: how often it looks at the ledger, what it waits for, and who may ask for it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
import pytest

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed, RetryIn, State
from taskyard.running.upkeep import Upkeep
from taskyard.store import ledger, users
from taskyard.store.persons import Found
from taskyard.store.users import UserData
from tests.kits.conftest import Run
from tests.kits.users.conftest import ADA, Person

ENDED = "UPDATE task SET state = 'succeeded', claim = NULL, finished_at = now() WHERE id = :id"


class Counted:
    """How often the ledger was walked over and slept, and how many tasks a transaction erased at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.walks = self.pauses = self.most = 0
        self.at_pause: Any = lambda: None
        look, erase = Upkeep.look_for_person, Upkeep.erase

        def counted_look(upkeep: Upkeep, *given: Any) -> Found:
            self.walks += 1
            assert self.walks < 10
            return look(upkeep, *given)

        def counted_erase(upkeep: Upkeep, person: Any, found: Found, *, by: UUID) -> Any:
            self.most = max(self.most, len(found.about), len(found.mentioning))
            return erase(upkeep, person, found, by=by)

        def pause(_seconds: float) -> None:
            self.pauses += 1
            self.at_pause()

        monkeypatch.setattr(Upkeep, "look_for_person", counted_look)
        monkeypatch.setattr(Upkeep, "erase", counted_erase)
        monkeypatch.setattr("taskyard_kits.users.erasure.time.sleep", pause)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def test_a_task_that_runs_and_mentions_the_person_leaves_only_itself_and_the_user_to_the_next_attempt(
    ada: Person, counted: Counted
) -> None:
    runs = ada.put("email.send_newsletter", State.RUNNING, params={"recipients": [{"to_email": ADA}]})
    about = ada.put()
    first = ada.erase().outcome
    assert isinstance(first, RetryIn)
    assert first.fault.code == "tasks_still_run"
    assert (counted.walks, counted.pauses) == (1, 12)
    assert (ada.read(about).params, ada.read(runs).cancel_requested_at) == ({"erased": True}, None)
    assert ada.do("SELECT email FROM users").scalar() == ADA, "the next attempt needs it"
    ada.do(ENDED, id=runs)
    assert ada.erase().result["mentions"] == 1
    assert ADA not in ada.all_that_is_stored()


def test_a_task_that_ends_meanwhile_is_erased_in_the_same_attempt(ada: Person, counted: Counted) -> None:
    runs = ada.put("email.send_newsletter", State.RUNNING, params={"recipients": [{"to_email": ADA}]})
    counted.at_pause = lambda: ada.do(ENDED, id=runs)
    assert ada.erase().result["mentions"] == 1
    assert (counted.walks, counted.pauses) == (2, 1)
    assert ADA not in ada.all_that_is_stored()


def test_few_tasks_are_locked_at_a_time(ada: Person, counted: Counted) -> None:
    for _ in range(60):
        ada.put()
        ada.put("diagnostics.echo", params={"value": ADA})
    result = ada.erase().result
    assert (result["blanked"], result["mentions"]) == (60, 60)
    assert counted.most == 50


def test_a_user_whose_address_is_that_of_erased_ones_is_erased_by_the_id(ada: Person, counted: Counted) -> None:
    with ledger.transaction(ada.engine) as conn:
        users.put(conn, 7, UserData(email="Erased@erased.invalid", name="Ada"), by="ci")
    other = ada.put("email.send_newsletter", State.QUEUED, params={"recipients": ["erased@erased.invalid"]})
    about = ada.put()
    assert ada.erase().result["blanked"] == 1
    assert (ada.read(about).params, ada.read(other).state) == ({"erased": True}, "queued")
    assert ada.do("SELECT count(*) FROM users").scalar() == 0


def schedule(ada: Person, name: str, params: dict[str, Any], *, source: str | None = None) -> str:
    schedule_id = new_id()
    ada.do(
        "INSERT INTO schedule (id, name, task, task_bytes, task_name, queue, trigger, anchored_at, misfire,"
        " catch_up_seconds, overlap, source) VALUES (:id, CAST(:id AS text), CAST(:task AS jsonb), 1, :name, 'default',"
        " '{}', now(), 'skip', 0, 'skip', :source)",
        id=schedule_id,
        name=name,
        task=orjson.dumps({"params": params}).decode(),
        source=source,
    )
    return str(schedule_id)


def schedules(ada: Person) -> dict[str, tuple[Any, int]]:
    """The parameters of each, and its version."""
    rows = ada.do("SELECT CAST(id AS text), task -> 'params', version FROM schedule").all()
    return {row[0]: (row[1], row[2]) for row in rows}


@pytest.mark.parametrize("dry_run", [True, False])
def test_schedules_about_the_person_and_other_users_with_the_address_are_told(ada: Person, dry_run: bool) -> None:
    with ledger.transaction(ada.engine) as conn:
        users.put(conn, 8, UserData(email=ADA.upper(), name="Byron"), by="ci")
    about = schedule(ada, "users.update_stats", {"user_id": 7})
    mentions = schedule(ada, "diagnostics.echo", {"value": [ADA]})
    schedule(ada, "users.update_stats", {"user_id": 77})
    result = ada.erase(dry_run=dry_run).result
    assert (result["schedules"], result["same_address"]) == ([about, mentions], [8])


def test_schedules_about_the_person_go_and_in_others_the_address_does(ada: Person) -> None:
    by_address = schedule(ada, "email.send_welcome", {"to_email": ADA.upper()}, source="file:welcomes.yaml")
    about = schedule(ada, "users.update_stats", {"user_id": 7})
    mentions = schedule(ada, "diagnostics.echo", {"value": [ADA, "b@example.org"]}, source="file:news.yaml")
    other = schedule(ada, "users.update_stats", {"user_id": 77}, source="file:others.yaml")
    before = schedules(ada)
    assert ada.erase(dry_run=True).result["schedule_files"] == []
    assert schedules(ada) == before
    result = ada.erase().result
    assert result["schedules"] == [by_address, about, mentions]
    assert result["schedule_files"] == ["news.yaml", "welcomes.yaml"], "where they would come back from"
    assert schedules(ada) == {
        mentions: ({"value": ["erased@erased.invalid", "b@example.org"]}, 2),
        other: ({"user_id": 77}, 1),
    }
    written = "SELECT action, target_id, details FROM audit WHERE target_type = 'schedule' ORDER BY target_id"
    assert [tuple(row) for row in ada.do(written).all()] == [
        ("schedule.delete", by_address, {"source": "file:welcomes.yaml"}),
        ("schedule.delete", about, {"source": None}),
        ("schedule.change", mentions, {"source": "file:news.yaml"}),
    ]
    assert ADA.lower() not in ada.all_that_is_stored().lower()


def test_a_schedule_is_gone_before_the_walk_begins(ada: Person, counted: Counted) -> None:
    """Else it submits tasks about the person behind it."""
    schedule(ada, "users.update_stats", {"user_id": 7})
    runs = ada.put("email.send_newsletter", State.RUNNING, params={"recipients": [{"to_email": ADA}]})
    counted.at_pause = lambda: ada.do(ENDED, id=runs) if not schedules(ada) else None
    assert ada.erase().result["mentions"] == 1


def test_the_row_of_a_dry_run_lets_nothing_be_erased(ada: Person, run: Run, upkeep: Upkeep) -> None:
    task_id, about = ada.ask(dry_run=True), ada.put()
    outcome = run("users.erase", {"user_id": 7, "dry_run": False}, upkeep=upkeep, task_id=task_id).outcome
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "erasure_not_asked"
    assert ada.read(about).params == {"user_id": 7}


def test_an_id_that_is_used_again_lets_nothing_be_erased(ada: Person, run: Run, upkeep: Upkeep) -> None:
    task_id = ada.ask()
    ada.do("DELETE FROM task WHERE id = :id", id=task_id)
    ada.put("users.erase", State.QUEUED, id=task_id, params={"user_id": 7, "dry_run": False})
    outcome = run("users.erase", {"user_id": 7}, upkeep=upkeep, task_id=task_id).outcome
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "erasure_not_asked"
