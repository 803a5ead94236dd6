"""users.erase: a person's address is found wherever it stands, and an address that only contains it is not."""

from __future__ import annotations

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
