"""The navigation of a page: what the reader may open, and which of it the page belongs to."""

from __future__ import annotations

import re

import pytest

from taskyard_console.navigation import ENTRIES

from .console_app import Api, Browser


@pytest.mark.parametrize(
    ("path", "current"),
    [
        ("/tasks", "Tasks"),
        ("/tasks?state=failed", "Tasks"),
        ("/tasks/00000000-0000-0000-0000-000000000007", "Tasks"),
        ("/task-types", "Task types"),
        ("/queues/mail", "Queues"),
        ("/", "Overview"),
        ("/nowhere", ""),
        ("/tasksandmore", ""),
    ],
)
def test_a_page_is_marked_under_the_entry_that_it_belongs_to(path: str, current: str) -> None:
    browser = Browser()
    browser.sign_in()
    marked = re.findall(r'aria-current="page">([^<]+)<', browser.get(path).text)
    assert marked == ([current] if current else [])


@pytest.mark.parametrize(("scope", "also"), [("read", set()), ("admin", {"Audit", "Keys"})])
def test_only_entries_that_the_key_opens_are_offered_and_have_a_shortcut(scope: str, also: set[str]) -> None:
    browser = Browser(Api(scope))
    browser.sign_in()
    page = browser.get("/tasks").text
    (shortcuts,) = re.findall('<dialog id="help".*?</dialog>', page, re.DOTALL)
    expected = {entry.title for entry in ENTRIES} - {"Audit", "Keys"} | also
    assert set(re.findall(r"data-key[^>]*>([^<]+)</a>", page)) == expected
    assert set(re.findall(r"<kbd>g</kbd>.*?<dd>([^<]+)</dd>", shortcuts)) == expected
