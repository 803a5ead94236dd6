"""users.erase: a person's address is found wherever it stands, and an address that only contains it is not."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import pytest

from taskyard.domain.tasks import RetryIn, State, Succeeded
from taskyard.lifecycle.finish import Finished, finish
from taskyard.lifecycle.limits import Granting
from taskyard.store import ledger, users
from taskyard.store.users import UserData
from tests.kits.users.conftest import ADA, Person

NOBODY = "erased@erased.invalid"


@pytest.mark.parametrize(
    "text",
    [
        "Dear all,\n{}\nwas here",
        "a\t{}",
        "\x01{}",
        "<{}>.",
        "mailto:{}.",
        "GET /users/{}/orders",
        "https://example.org/{}",
        "to={}&x",
        "'{}'",
        "{0},{0} {0};{0}",
        "'{0}','{0}'",
        "/users/{0}/users/{0}",
        "a=1%20{}",
        "https://example.org/?to%3D{}%26x",
    ],
)
def test_the_address_is_replaced_whatever_stands_around_it(ada: Person, text: str) -> None:
    task_id = ada.put("diagnostics.echo", params={"value": text.format(ADA)}, tags=[text.format(ADA)])
    assert ada.erase().result["mentions"] == 1
    after = ada.read(task_id)
    assert (after.params, after.tags) == ({"value": text.format(NOBODY)}, [text.format(NOBODY)])


@pytest.mark.parametrize("address", [ADA.replace("@", "%40"), "Ada%2Bnews%40EXAMPLE.org"])
def test_the_address_is_found_as_a_url_has_it(ada: Person, address: str) -> None:
    with ledger.transaction(ada.engine) as conn:
        users.put(conn, 7, UserData(email=unquote(address), name="Ada"), by="ci")
    task_id = ada.put("diagnostics.echo", params={"value": f"https://example.org/?to={address}&x"})
    ada.erase()
    assert ada.read(task_id).params == {"value": f"https://example.org/?to={NOBODY}&x"}


@pytest.mark.parametrize("text", ["orders/{}", "user_{}", "welcome-{}"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_tasks_are_named_in_which_the_address_may_be_the_end_of_another_one(
    ada: Person, text: str, dry_run: bool
) -> None:
    left = ada.put("diagnostics.echo", params={"value": [text.format(ADA), "Ada"]})
    ada.put("diagnostics.echo", params={"value": f"<{ADA}>"})
    ada.put(params={"user_id": 7, "of": text.format(ADA)})
    result = ada.erase(dry_run=dry_run).result
    assert (result["mentions"], result["mentions_left"], result["left"]) == (1, 1, [str(left)])


def test_a_task_with_thousands_of_addresses_is_erased_in_one_statement(ada: Person) -> None:
    """For each address, PostgreSQL must not read all that stands before it again."""
    task_id = ada.put("diagnostics.echo", params={"value": [ADA] * 8_500})
    assert ada.erase().result["mentions"] == 1
    assert ada.read(task_id).params == {"value": [NOBODY] * 8_500}


@pytest.mark.parametrize(
    "other",
    [
        "o'brien@example.org",
        "übrien@example.org",
        "team/brien@example.org",
        "x.brien@example.org",
        "a-brien@example.org",
        "brien@example.org.hu",
        "brien@example.orgé",
    ],
)
def test_an_address_of_another_person_that_contains_it_stays(ada: Person, other: str) -> None:
    with ledger.transaction(ada.engine) as conn:
        users.put(conn, 7, UserData(email="brien@example.org", name="Brien"), by="ci")
    task_id = ada.put("email.send_newsletter", State.QUEUED, params={"recipients": [other]}, tags=[other])
    assert ada.erase().result["mentions"] == 0
    assert (ada.read(task_id).params, ada.read(task_id).tags) == ({"recipients": [other]}, [other])


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ({"limits": {"key": ADA, "concurrent": 1}, "limited": "waiting"}, None),
        ({"callback": {"url": f"https://example.org/?to={ADA}", "on": ["final"]}}, None),
        ({"request_id": ADA}, None),
        ({}, f"welcome {ADA}"),
    ],
)
@pytest.mark.parametrize("state", [State.QUEUED, State.SUCCEEDED])
def test_keys_addresses_of_callbacks_and_request_ids_are_looked_at(
    ada: Person, columns: dict[str, Any], key: str | None, state: State
) -> None:
    task_id = ada.put("diagnostics.echo", state, params={"value": 1}, **columns)
    if key is not None:
        for of, name in (task_id, key), (ada.put("diagnostics.echo", params={"value": 2}), f"second {key}"):
            ada.do("INSERT INTO unique_key VALUES ('diagnostics.echo', :key, :id, 'active')", key=name, id=of)
    ada.do("INSERT INTO pace (name, free_at) VALUES (:name, now())", name=f"task:{ADA}")
    ada.do("INSERT INTO limit_pace (name, last_at) VALUES (:name, now())", name=f"task:{ADA}")
    result = ada.erase().result
    assert result["mentions"] + result["limits"] == (1 if key is None else 2)
    assert ada.read(task_id).state == state
    assert ADA not in ada.all_that_is_stored()


def test_what_is_the_address_in_small_letters_only_is_told_and_ends_no_erasure(ada: Person) -> None:
    """`İ` in small letters is `i`, and is no capital of it."""
    ada.do("UPDATE users SET email = 'ali@example.org' WHERE id = 7")
    kept = ada.put("diagnostics.echo", State.SUCCEEDED, params={"value": "ALİ@EXAMPLE.ORG"})
    outcome = ada.erase().outcome
    assert isinstance(outcome, Succeeded)
    assert (outcome.result["mentions"], outcome.result["mentions_left"]) == (0, 1)
    assert ada.read(kept).params == {"value": "ALİ@EXAMPLE.ORG"}


def test_an_erasure_does_not_wait_for_its_own_task(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskyard_kits.users.erasure.time.sleep", lambda _: pytest.fail("it waits"))
    monkeypatch.setattr(ada, "ask", partial(ada.ask, request_id=f"gdpr {ADA}"))
    assert isinstance(ada.erase().outcome, Succeeded)


def test_the_request_id_of_a_workflow_has_the_address_no_more(ada: Person) -> None:
    for request_id in (f"for:{ADA}", None):
        ada.do(
            "INSERT INTO workflow (id, on_failure, queues, request_id, state, steps)"
            " VALUES (gen_random_uuid(), 'continue', ARRAY['default'], :request_id, 'running', 1)",
            request_id=request_id,
        )
    ada.erase()
    assert set(ada.do("SELECT request_id FROM workflow").scalars()) == {f"for:{NOBODY}", None}


def test_of_the_timeline_of_a_task_about_the_person_only_who_did_what_is_left(ada: Person) -> None:
    task_id = ada.put()
    ada.do(
        "INSERT INTO task_event (task_id, attempt, kind, data)"
        """ VALUES (:id, 1, 'changed', '{"tags": ["Ada Lovelace"], "by": "ci"}')""",
        id=task_id,
    )
    ada.erase()
    assert ada.do("SELECT kind, data FROM task_event").one() == ("changed", {"by": "ci"})


def test_a_limit_whose_key_has_the_address_holds_during_the_erasure_and_after_it(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskyard_kits.users.erasure.time.sleep", lambda _: None)

    def put(state: State, limited: str | None, key: str = f"mail:{ADA}") -> UUID:
        limits = {"key": key, "concurrent": 1}
        return ada.put("diagnostics.echo", state, params={"value": key}, limits=limits, limited=limited)

    def keys(*ids: UUID) -> set[str]:
        return {ada.read(task_id).limits["key"] for task_id in ids}

    def granted() -> list[UUID]:
        ledger.run_transaction(ada.engine, granting.turn)
        return [task_id for task_id in (waits, second) if ada.read(task_id).limited == "granted"]

    granting = Granting()
    runs, waits, second = put(State.RUNNING, "granted"), put(State.QUEUED, "waiting"), put(State.QUEUED, "waiting")
    due, other = put(State.SCHEDULED, None), put(State.QUEUED, "waiting", f"to:{ADA}")
    claim = ada.read(runs).claim
    ada.do("INSERT INTO limit_pace (name, last_at) VALUES (:name, '2026-01-01Z')", name=f"task:to:{ADA}")
    erased = ada.erase()
    assert isinstance(erased.outcome, RetryIn)
    key, of_other = keys(runs, waits, second, due), keys(other)
    assert len(key) == len(of_other) == len(key ^ of_other) - 1 == 1
    assert ADA not in f"{key}{of_other}"
    assert ada.read(runs).claim == claim
    assert ada.do("SELECT name FROM limit_pace").scalars().all() == [f"task:{of_other.pop()}"]
    assert granted() == []
    ended = Finished(runs, claim, Succeeded(None), 0.1, is_limited=True)
    assert ledger.run_transaction(ada.engine, lambda conn: finish(conn, [ended])).changes
    assert granted() == [waits]


def test_a_group_of_failures_whose_code_has_the_address_is_deleted_and_others_stay(ada: Person) -> None:
    """Also where its tasks are gone."""
    for code in (f"unknown_user {ADA}", "boom"):
        ada.do(
            "INSERT INTO error_group (id, queue, name, code, place, failures, first_seen_at, last_seen_at, task_ids)"
            " VALUES (gen_random_uuid(), 'default', 'own.task', :code, '', 1, now(), now(), '{}')",
            code=code,
        )
    ada.erase(dry_run=True)
    assert ada.do("SELECT count(*) FROM error_group").scalar() == 2
    ada.erase()
    assert ada.do("SELECT code FROM error_group").scalars().all() == ["boom"]
