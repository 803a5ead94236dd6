"""What the address of a list asks the API for, and what an operation can be asked for by the same filters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import falcon
import pytest

from taskyard_console.columns import STANDARD, chosen
from taskyard_console.filters import conditions_of, for_api
from taskyard_console.words import read_catalogues

VISIT: Any = SimpleNamespace(zone=ZoneInfo("Europe/Budapest"), words=read_catalogues()["en"])


def test_times_are_those_of_the_readers_zone_and_what_is_empty_is_not_asked_for() -> None:
    asked = {
        "name": "a.b",
        "queue": "",
        "state": [],
        "created_after": "2026-07-01T12:00",
        "column": ["id"],
        "limit": 50,
    }
    assert for_api(asked, VISIT) == {"name": "a.b", "created_after": datetime(2026, 7, 1, 10, tzinfo=UTC)}


def test_within_counts_from_now() -> None:
    found = for_api({"within": "day", "created_after": ""}, VISIT)["created_after"]
    assert timedelta(hours=23) < datetime.now(UTC) - found < timedelta(hours=25)


def test_a_time_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(falcon.HTTPBadRequest) as refused:
        for_api({"created_after": "yesterday"}, VISIT)
    assert refused.value.description == "This is not a time: yesterday"


@pytest.mark.parametrize(
    ("action", "asked", "conditions", "unknown"),
    [
        ("cancel", {"state": ["queued", "failed"], "order": "created"}, {"state": ["queued"]}, []),
        ("cancel", {"state": ["failed"]}, {"state": []}, []),
        ("cancel", {"state": [], "order": "waiting_longest"}, {"state": ["queued"]}, []),
        ("cancel", {"state": [], "order": "running_longest", "name": "a"}, {"state": ["running"], "name": "a"}, []),
        ("retry", {"state": [], "order": "running_longest", "name": "a"}, {"name": "a"}, ["state"]),
        ("retry", {"state": ["failed"], "name": "a"}, {"name": "a"}, []),
        ("retry", {"state": ["cancelled"], "name": "a"}, {"state": ["cancelled"], "name": "a"}, []),
        ("retry", {"state": ["failed", "cancelled"], "name": "a"}, {"name": "a"}, ["state"]),
        ("discard", {"tag": "t", "code": "boom", "parent_id": "x"}, {"code": "boom"}, ["parent_id", "tag"]),
        ("restore", {"discarded": "yes", "queue": "q"}, {"queue": "q"}, []),
    ],
)
def test_an_operation_takes_the_filters_that_it_has_and_names_the_others(
    action: str, asked: dict[str, Any], conditions: dict[str, Any], unknown: list[str]
) -> None:
    assert conditions_of(action, asked, VISIT) == (conditions, unknown)


def test_a_filter_of_nothing_is_all_that_there_was_until_now() -> None:
    conditions, _ = conditions_of("cancel", {"state": []}, VISIT)
    assert conditions.keys() == {"created_before"}


def test_columns_stand_in_the_address_where_they_are_not_the_standard_ones() -> None:
    assert chosen([]) == chosen(list(STANDARD)) == chosen(["no_such"]) == []
    assert chosen(["tags", "state"]) == ["state", "tags"]
