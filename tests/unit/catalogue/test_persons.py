"""Parameters that name a person are marked in the spec, where the ledger finds them."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field

from taskyard import Params, Person
from taskyard.catalogue.formats import EmailAddress
from taskyard.catalogue.kits import load
from taskyard.catalogue.persons import MARK
from taskyard.catalogue.spec import spec_of
from taskyard.settings import Settings
from taskyard.store.persons import Person as Sought


class Invoiced(Params):
    customer: Person[int] = Field(ge=1)
    guardian: Person[Annotated[int, Field(ge=1)]] | None = None
    copy_to: Person[EmailAddress] | None = None
    amount: float


@pytest.mark.parametrize(
    "name", ["users.update_stats", "notifications.send", "email.send", "email.send_password_reset"]
)
def test_the_types_of_the_kits_mark_theirs(name: str) -> None:
    assert marked(spec_of(load(Settings()).catalogue[name]).params["properties"]) in (
        {"user_id"},
        {"to_email"},
        {"to_email", "user_id"},
    )


def test_what_a_user_marks_is_in_the_schema_beside_its_bounds() -> None:
    properties = Invoiced.model_json_schema()["properties"]
    assert marked(properties) == {"customer", "guardian", "copy_to"}
    assert (properties["customer"]["type"], properties["customer"]["minimum"]) == ("integer", 1)


def test_the_erasure_of_a_person_is_about_none() -> None:
    """It would cancel itself."""
    assert marked(spec_of(load(Settings()).catalogue["users.erase"]).params["properties"]) == set()


def test_an_address_is_found_as_it_stands_in_json() -> None:
    pattern = Sought(7, 'a"b.c@example.org', []).pattern
    assert r"|a\\\"b\.c\@example\.org|" in pattern
    assert pattern.endswith(r"|a\%22b\.c\%40example\.org)(?![[:alnum:]-]|\.[[:alnum:]])")
    assert Sought(7, None, []).names == ["7"]


def marked(properties: dict[str, Any]) -> set[str]:
    return {name for name, schema in properties.items() if MARK in str(schema)}
