"""Problem documents are in the reader's language, and say where people find help."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.api.conftest import Api

HELP = "https://support.example.org"
LANGUAGES = ("en", "de", "fr", "hu")
SUBMIT = "/api/v1/tasks"


def asked(api: Api, language: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    answer = api.http.request(method, path, json=body, headers={"Accept-Language": f"{language}, en;q=0.1"})
    assert answer.status_code >= 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Content-Language"] == language
    assert "Accept-Language" in answer.headers["Vary"]
    problem: dict[str, Any] = answer.json()
    assert problem["support_url"] == HELP
    return problem


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/nope", None),
        ("GET", f"{SUBMIT}/0193aaaa-0000-7000-8000-000000000000", None),
        ("PUT", SUBMIT, None),
        ("GET", f"{SUBMIT}?limit=0", None),
        ("GET", f"{SUBMIT}?state=x", None),
        ("GET", f"{SUBMIT}?created_after=x", None),
        ("POST", SUBMIT, {"name": "diagnostics.ech"}),
        ("POST", SUBMIT, {"name": "diagnostics.echo", "params": {}, "tags": "x", "nam": 1}),
        ("POST", SUBMIT, {"name": "diagnostics.sleep", "params": {"seconds": "1"}}),
        ("POST", SUBMIT, {"name": "diagnostics.sleep", "params": {"seconds": -1, "second": 1}}),
        ("POST", SUBMIT, {"name": "email.send", "params": {"to_email": "x", "subject": "a\nb", "text": "t"}}),
        ("POST", SUBMIT, {"name": "diagnostics.echo", "params": {"value": "\x00"}}),
        ("POST", SUBMIT, {"name": "diagnostics.echo", "params": {"value": 1}, "callback_url": "ftp://a"}),
    ],
)
def test_a_problem_is_told_in_the_readers_language(api: Api, method: str, path: str, body: Any) -> None:
    told = {language: asked(api, language, method, path, body) for language in LANGUAGES}
    assert len({problem["title"] for problem in told.values()}) == len(LANGUAGES)
    assert len({problem["detail"] for problem in told.values()}) == len(LANGUAGES)
    for language in LANGUAGES[1:]:  # what programs read is the same
        assert told[language]["code"] == told["en"]["code"]
        ours, theirs = (told[one].get("errors", []) for one in (language, "en"))
        assert [fault["pointer"] for fault in ours] == [fault["pointer"] for fault in theirs]
        assert all(a["message"] != b["message"] for a, b in zip(ours, theirs, strict=True))


def test_values_and_alternatives_are_put_into_the_translated_sentence(api: Api) -> None:
    body = {"name": "diagnostics.echo", "on_cancel": "x", "tags": ["x"] * 21, "params": {"value": 1}}
    problem = asked(api, "de", "POST", SUBMIT, body)
    assert [fault["message"] for fault in problem["errors"]] == [
        "`tags` darf höchstens 20 Einträge haben",
        "`on_cancel` muss 'cancel_children' oder 'leave_children' sein",
    ]


def test_a_language_that_nobody_translated_is_answered_in_english(api: Api) -> None:
    answer = api.http.get("/nope", headers={"Accept-Language": "nl, sv;q=0.5"})
    assert (answer.headers["Content-Language"], answer.json()["detail"]) == ("en", "There is nothing at this address.")


def test_the_words_of_a_types_author_stand_as_they_are(api: Api) -> None:
    problem = asked(
        api, "de", "POST", SUBMIT, {"name": "email.send", "params": {"to_email": "a@b.org", "subject": "s"}}
    )
    assert problem["detail"] == "text or html_content must be given, and not be blank"


def test_what_is_refused_before_the_application_names_the_help_too(api: Api) -> None:
    host, _, port = api.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as wire:
        wire.sendall(b"this is not HTTP\r\n\r\n")
        answer = wire.makefile("rb").read()
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (problem["code"], problem["support_url"]) == ("malformed_request", HELP)


def test_without_a_support_address_none_is_named(start_api: Callable[..., Api]) -> None:
    assert "support_url" not in start_api(support_url=None).http.get("/nope").json()


def test_no_translated_problem_quotes_a_value(api: Api) -> None:
    for language in LANGUAGES:
        body = {"name": "diagnostics.sleep", "params": {"seconds": "hunter2"}, "queue": ["hunter2"]}
        assert not re.search("hunter2", json.dumps(asked(api, language, "POST", SUBMIT, body)))
