"""docs/coming-from-celery.md leads to things that there are, and each is shown by a test."""

from __future__ import annotations

import pytest

from tests.support import named_things
from tests.support.docs import DOCS

PAGE = "coming-from-celery.md"
SYSTEMS = (
    "A web service with mail and files",
    "A model service",
    "A citizens' assembly application",
    "An application with users and payments",
    "An image and map application",
)
# A row that has nothing to show yet says so with these words.
OPEN = "open: "
ROWS = named_things.rows(PAGE)


def test_every_row_names_a_test_or_says_that_it_is_open() -> None:
    for heading, (there, here, shown_by) in ((h, cells) for h, cells in ROWS if h in SYSTEMS):
        if here.startswith(OPEN):
            assert not shown_by, f"{there}: what is open is shown by no test"
        else:
            assert named_things.tests_in(shown_by), f"{heading}: {there}: no test"


def test_each_of_the_five_systems_has_its_table() -> None:
    for system in SYSTEMS:
        assert sum(heading == system for heading, _ in ROWS) >= 10, system


def test_every_test_of_the_page_exists() -> None:
    text = (DOCS / PAGE).read_text("utf-8")
    assert list(named_things.missing_tests(text)) == []


def test_every_call_command_type_and_setting_of_the_page_exists() -> None:
    assert [thing for _, cells in ROWS for thing in named_things.missing_things(" ".join(cells[1:]))] == []


@pytest.mark.parametrize(
    "there_is_not",
    [
        "`GET /nothing`",
        "`taskyard-worker fly`",
        "`taskyard-worker run --wings`",
        "`email.send_smoke`",
        "`taskyard.smoke`",
        "`TASKYARD_WINGS=2`",
    ],
)
def test_what_there_is_not_is_found(there_is_not: str) -> None:
    assert list(named_things.missing_things(there_is_not)) != []


def test_a_test_that_there_is_not_is_found() -> None:
    missing = "unit/test_coming_from_celery_page.py::test_of_nothing"
    assert list(named_things.missing_tests(f"`{missing}`")) == [missing]
