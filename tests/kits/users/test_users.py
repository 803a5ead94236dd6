"""users.*: tasks that do once what they do, also where they run again or side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed
from taskyard.store import ledger, users
from taskyard.store.users import Activity, Profile, User, UserData
from tests.kits.conftest import Run

TYPES = ("users.update_stats", "users.create_profile")


def written(engine: Engine, user_id: int = 7, by: str = "mine") -> None:
    with ledger.transaction(engine) as conn:
        assert users.put(conn, user_id, UserData(email="eva@example.org", name="Eva"), by=by)


def read(engine: Engine, user_id: int = 7) -> User:
    with ledger.connection(engine) as conn:
        found = users.get(conn, user_id)
    assert found is not None
    return found


def test_each_task_counts_a_login(engine: Engine, run: Run) -> None:
    written(engine)
    before = read(engine)
    assert (before.login_count, before.last_activity) == (0, None)
    results = [run("users.update_stats", {"user_id": 7}).result for _ in range(2)]
    assert [result["login_count"] for result in results] == [1, 2]
    assert results[0]["user_id"] == 7
    after = read(engine)
    assert after.login_count == 2
    assert after.last_activity is not None
    assert after.updated_at == before.updated_at, "what the caller wrote did not change"


def test_a_profile_is_made_once(engine: Engine, run: Run) -> None:
    written(engine)
    first, second = (run("users.create_profile", {"user_id": 7}).result for _ in range(2))
    assert (first["status"], second["status"]) == ("created", "already_exists")
    assert first["profile_id"] == second["profile_id"] == str(read(engine).profile_id)


@pytest.mark.parametrize("name", TYPES)
def test_an_unknown_user_is_a_clear_error_and_not_retried(run: Run, name: str) -> None:
    outcome = run(name, {"user_id": 7}).outcome
    assert isinstance(outcome, Failed)
    assert (outcome.fault.code, outcome.fault.retryable) == ("user_not_found", False)
    assert "PUT /users/{id}" in outcome.fault.message


@pytest.mark.parametrize("name", TYPES)
def test_a_task_of_a_restricted_key_reaches_its_own_users_only(engine: Engine, run: Run, name: str) -> None:
    written(engine, 7, by="mine")
    written(engine, 8, by="other")
    restricted = partial(run, name, submitted_by="mine", allowed_queues=["default"])
    assert restricted({"user_id": 7}).result
    outcome = restricted({"user_id": 8}).outcome
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "user_not_found"
    assert (read(engine, 8).login_count, read(engine, 8).profile_id) == (0, None)
    assert run(name, {"user_id": 8}, submitted_by="free").result, "a key without restriction reaches all"


def test_an_attempt_that_comes_again_after_others_counts_nothing_twice(engine: Engine, task_engine: Engine) -> None:
    """The end of the first attempt got lost; another task ran meanwhile. The answer is the first one."""
    written(engine)
    first, second = new_id(), new_id()

    def count(task_id: UUID) -> Activity | None:
        return ledger.run_transaction(task_engine, lambda conn: users.count_activity(conn, 7, task_id))

    told = count(first)
    count(second)
    assert count(first) == told
    assert read(engine).login_count == 2


def test_a_profile_stays_new_for_the_task_that_made_it(engine: Engine, task_engine: Engine) -> None:
    written(engine)
    first, second = new_id(), new_id()

    def create(task_id: UUID) -> Profile | None:
        return ledger.run_transaction(task_engine, lambda conn: users.create_profile(conn, 7, task_id))

    made = create(first)
    again = create(second)
    assert made is not None
    assert again is not None
    assert (made.is_new, again.is_new) == (True, False)
    assert create(first) == made


def test_logins_and_profiles_side_by_side_are_each_counted_once(engine: Engine, task_engine: Engine) -> None:
    written(engine)
    tasks = [new_id() for _ in range(20)]

    def both(task_id: UUID) -> bool:
        ledger.run_transaction(task_engine, lambda conn: users.count_activity(conn, 7, task_id))
        made = ledger.run_transaction(task_engine, lambda conn: users.create_profile(conn, 7, task_id))
        return made is not None and made.is_new

    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(both, [*tasks, *tasks]))
    assert read(engine).login_count == len(tasks)
    assert sum(new[: len(tasks)]) + sum(new[len(tasks) :]) in {1, 2}, "one task made it, in one or two attempts"
    with engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM user_profiles").scalar_one() == 1
