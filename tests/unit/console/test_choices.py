"""What readers choose for themselves: kept in their browser, for all pages."""

from __future__ import annotations

from .console_app import Browser


def test_pages_change_by_themselves_and_keys_alone_do_something_until_a_reader_says_otherwise() -> None:
    browser = Browser()
    browser.sign_in()
    before = browser.get("/tasks").text
    assert 'data-live-from="/live"' in before
    assert "data-shortcuts" not in before
    assert browser.post("/choices", next="/tasks", updates="off", shortcuts="off").status_code == 303
    after = browser.get("/tasks").text
    assert "data-live-from" not in after
    assert 'data-shortcuts="off"' in after
    browser.post("/choices", next="/tasks", updates="on", shortcuts="on")
    assert 'data-live-from="/live"' in browser.get("/tasks").text


def test_what_is_no_choice_is_left_alone() -> None:
    browser = Browser()
    browser.sign_in()
    browser.get("/tasks")
    answer = browser.post("/choices", next="/tasks", updates="never", language="xx", theme="pink", zone="Nowhere/Land")
    assert answer.status_code == 303
    assert set(answer.cookies) == {"taskyard_notice"}, "which says that there is no such zone"
