"""Saved views: what the cookie holds, and what it refuses."""

from __future__ import annotations

import base64
import json

import pytest

from taskyard_console.views import MAX_BYTES, MOST, TooMany, View, read, with_view, without, written


def test_views_come_back_as_they_were_saved() -> None:
    views = [View("Éjszaka <b>", "state=failed&name=a"), View("b", "")]
    assert read(written(views)) == views


def test_one_of_the_same_name_is_replaced_and_one_can_be_deleted() -> None:
    views = with_view([View("a", "1"), View("b", "2")], View("a", "3"))
    assert views == [View("b", "2"), View("a", "3")]
    assert without(views, "b") == [View("a", "3")]


@pytest.mark.parametrize("views", [[View(str(i), "") for i in range(MOST + 1)], [View("a", "x" * MAX_BYTES)]])
def test_more_than_a_browser_keeps_is_refused(views: list[View]) -> None:
    with pytest.raises(TooMany):
        written(views)


@pytest.mark.parametrize("text", ["", "!", "bm9wZQ==", base64.urlsafe_b64encode(json.dumps([1, 2]).encode()).decode()])
def test_a_cookie_that_is_not_ours_holds_nothing(text: str) -> None:
    assert read(text) == []
