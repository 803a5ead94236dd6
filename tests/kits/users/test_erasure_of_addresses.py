"""users.erase: a person's address is found wherever it stands, and an address that only contains it is not."""

from __future__ import annotations

from typing import Any

import pytest

from taskyard.domain.tasks import State
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
    ],
)
def test_the_address_is_replaced_whatever_stands_around_it(ada: Person, text: str) -> None:
    task_id = ada.put("diagnostics.echo", params={"value": text.format(ADA)}, tags=[text.format(ADA)])
    assert ada.erase().result["mentions"] == 1
    after = ada.read(task_id)
    assert (after.params, after.tags) == ({"value": text.format(NOBODY)}, [text.format(NOBODY)])


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
    ada.do("INSERT INTO limit_mark (key) VALUES (:key)", key=f"task:{ADA}")
    assert ada.erase().result["mentions"] == (1 if key is None else 2)
    assert ada.read(task_id).state == state
    assert ADA not in ada.all_that_is_stored()
    marked = ada.do("SELECT key FROM limit_mark").scalars().all()
    assert marked == ([f"task:{NOBODY}"] if "limits" in columns else [])


def test_of_the_timeline_of_a_task_about_the_person_only_who_did_what_is_left(ada: Person) -> None:
    task_id = ada.put()
    ada.do(
        "INSERT INTO task_event (task_id, attempt, kind, data)"
        """ VALUES (:id, 1, 'changed', '{"tags": ["Ada Lovelace"], "by": "ci"}')""",
        id=task_id,
    )
    ada.erase()
    assert ada.do("SELECT kind, data FROM task_event").one() == ("changed", {"by": "ci"})
