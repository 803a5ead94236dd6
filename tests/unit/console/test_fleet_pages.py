"""What the pages of queues, the broker and keys decide without the API."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskyard_console.rendering import _pattern
from tests.unit.console.fleet_api import AT, NEW_KEY, QUEUE, signed_in


def test_a_part_that_does_not_answer_leaves_the_rest_of_the_page_standing() -> None:
    browser, _ = signed_in()
    answer = browser.get("/queues/mail")
    assert answer.status_code == 200
    assert "3 tasks wait" in answer.text
    assert answer.text.count('role="alert"') == 2


def test_who_serves_a_queue_is_asked_of_the_api_and_that_there_are_more_is_said() -> None:
    browser, api = signed_in()
    text = browser.get("/queues/mail").text
    (asked,) = [dict(call.url.params) for call in api.calls if call.url.path == "/api/v1/workers"]
    assert (asked["queue"], asked["alive"]) == ("mail", "true")
    assert "alive-1" in text
    assert "The newest 1; there are more." in text


def queue_of(rate: float, minutes: float, **more: Any) -> dict[str, Any]:
    oldest = datetime.now(UTC) - timedelta(minutes=minutes)
    return {**QUEUE, "oldest_waiting_at": oldest.isoformat(), "rate": {"finished_per_minute": rate}, **more}


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        (lambda: queue_of(0.5, 6), "3 tasks wait; at the rate of the last five minutes, that is 6 mins of work."),
        (lambda: queue_of(0, 6), "3 tasks wait; none has ended within five minutes."),
        (lambda: queue_of(0.5, 1), "3 tasks wait."),
        (lambda: queue_of(0.5, 6, workers=0), "No worker serves it."),
        (lambda: queue_of(0.5, 6, paused=True, paused_by="ada"), "Paused by ada: nothing begins until it is resumed."),
        (lambda: {**QUEUE, "depth": {"blocked": 2}}, "Nothing waits for a worker."),
        (lambda: {**QUEUE, "depth": {}}, "Nothing waits."),
    ],
)
def test_a_queue_s_page_begins_with_how_it_stands(queue: Callable[[], dict[str, Any]], said: str) -> None:
    browser, api = signed_in()
    api.queue = queue()  # now: ages count
    standing = re.search(r'<p class="standing">(.*?)</p>', browser.get("/queues/mail").text, re.DOTALL)
    assert standing
    assert " ".join(standing[1].split()).startswith(said)


@pytest.mark.parametrize(
    ("language", "typed", "sent"),
    [
        ("en", "3", 3),
        ("en", "2.5", 2.5),
        ("en", "1,000", 1000),
        ("en", "", None),
        ("de", "2,5", 2.5),
        ("de", "1.000", 1000),
        ("fr", "1000,5", 1000.5),
        ("hu", "1\xa0000", 1000),
    ],
)
def test_a_limit_is_read_as_the_reader_s_language_writes_numbers(language: str, typed: str, sent: float | None) -> None:
    browser, api = signed_in()
    browser.cookies["taskyard_language"] = language
    browser.get("/queues/mail")
    assert browser.post("/queues/mail/limits", None, concurrent="", per_second=typed).status_code == 303
    assert api.bodies()[-1] == {"concurrent": None, "per_second": sent}


@pytest.mark.parametrize(("language", "shown"), [("en", "1200.5"), ("de", "1200,5")])
def test_the_fields_of_limits_hold_what_can_be_sent_back(language: str, shown: str) -> None:
    browser, api = signed_in()
    api.queue = {**QUEUE, "per_second": 1200.5}
    browser.cookies["taskyard_language"] = language
    assert f'name="per_second" value="{shown}"' in browser.get("/queues/mail").text
    browser.post("/queues/mail/limits", None, concurrent="", per_second=shown)
    assert api.bodies()[-1]["per_second"] == 1200.5


@pytest.mark.parametrize("typed", ["many", "nan", "-inf", "9" * 5_000])
def test_what_is_no_number_is_said_beside_its_field_and_not_sent(typed: str) -> None:
    browser, api = signed_in()
    browser.get("/queues/mail")
    answer = browser.post("/queues/mail/limits", None, concurrent=typed, per_second="1")
    assert answer.status_code == 422
    assert re.search(r'id="concurrent-says"><strong class="wrong">This is not a number', answer.text)
    assert f'value="{typed}"' in answer.text
    assert api.bodies() == []


def test_a_purge_asks_for_the_name_and_keeps_to_its_preview() -> None:
    browser, api = signed_in()
    browser.get("/queues/mail")
    preview = browser.post("/queues/mail/purge").text
    assert "3 tasks wait" in preview
    assert "What runs now is cancelled, too, where it failed by then" in preview
    wrong = browser.post("/queues/mail/purge", None, confirmed="yes", typed="main", until=AT)
    assert "Nothing was cancelled" in wrong.text
    assert [body["dry_run"] for body in api.bodies()] == [True, True]
    for until in ("", "soon", "2026-07-01T08:00:00"):
        assert browser.post("/queues/mail/purge", None, confirmed="yes", typed="mail", until=until).status_code == 400
    browser.cookies["taskyard_language"] = "de"
    german = browser.post("/queues/mail/purge", None, confirmed="yes", typed="mail", until="soon").text
    assert "Das ist nicht der Zeitpunkt einer Vorschau." in german
    done = browser.post("/queues/mail/purge", None, confirmed="yes", typed="mail", until=AT)
    assert (done.status_code, done.headers["location"]) == (303, "/queues/mail")
    assert api.bodies()[-1] == {"dry_run": False, "created_before": AT}


def test_a_new_key_is_shown_in_the_answer_to_its_form_alone() -> None:
    browser, _ = signed_in("admin")
    browser.get("/keys")
    made = browser.post("/keys", None, name="ci", scopes="read")
    assert "ty_abcdefgh_secret" in made.text
    assert made.headers["cache-control"] == "no-store"
    assert all("secret" not in morsel.value for morsel in made.cookies.values())
    assert "ty_abcdefgh_secret" not in browser.get("/keys").text


SERVER = {"name": "redis", "version": "8.0", "used_bytes": 90, "max_bytes": 100, "eviction_policy": "noeviction"}


@pytest.mark.parametrize(
    ("broker", "said"),
    [
        ({"status": "away", "reason": "does not answer"}, "Redis is away: does not answer."),
        ({"server": SERVER}, "Redis is nearly full."),
        ({"server": {**SERVER, "eviction_policy": "allkeys-lru"}}, "Its policy allkeys-lru drops messages"),
        ({"server": {**SERVER, "max_bytes": None}}, "no limit but that of the machine"),
        ({"server": None}, "does not tell how full it is"),
        ({"outbox": {"pending": 3, "oldest_at": AT}}, "3 submits wait to be published"),
    ],
)
def test_the_broker_s_page_says_what_is_wrong_with_it(broker: dict[str, Any], said: str) -> None:
    browser, api = signed_in("read")
    api.broker = broker
    text = browser.get("/broker").text
    assert said in text
    assert "Nothing is lost when Redis is emptied" in text


def test_keys_and_the_audit_log_are_for_administrators() -> None:
    browser, api = signed_in("read", "manage")
    for path in ("/keys", "/audit"):
        assert browser.get(path).status_code == 403
    assert browser.post("/keys", None, name="ci", scopes="admin").status_code == 403
    assert browser.post(f"/keys/{NEW_KEY['id']}/revoke", None, confirmed="yes", typed="", name="").status_code == 403
    assert api.bodies() == []


def test_what_is_to_be_typed_is_no_expression() -> None:
    assert _pattern("a+b (1/2) [x]-y") == r"a\+b \(1\/2\) \[x\]-y"
