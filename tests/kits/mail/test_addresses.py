"""Addresses and lines: what could become a header of its own is refused when it is submitted."""

import pytest
from pydantic import ValidationError

from taskyard.catalogue.addresses import checked_address
from taskyard.catalogue.types import type_of
from taskyard_kits.mail import tasks
from taskyard_kits.mail.declarations import SendParams, SendWelcomeParams


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("eva@example.org", "eva@example.org"),
        ("Eva.M+tag_1%x@Mail.Example.ORG", "Eva.M+tag_1%x@mail.example.org"),
        ("o'brien@example.org", "o'brien@example.org"),
        ("eva@bücher.example", "eva@xn--bcher-kva.example"),
        ("jürgen@example.org", "jürgen@example.org"),
    ],
)
def test_an_address_is_accepted(given: str, kept: str) -> None:
    assert checked_address(given) == kept


@pytest.mark.parametrize(
    "given",
    ["", "eva", "@example.org", "eva@", "eva@localhost", "eva@@example.org", "a b@example.org",
     "eva@exa mple.org",
     "eva@example.org\nBcc: x@y.org", "eva@example.org\r\n", "eva\r\nRCPT TO:<x@y.org>@example.org",
     "Eva <eva@example.org>", "<eva@example.org>", "eva@example.org,x@y.org", "eva@[127.0.0.1]",
     "eva@127.0.0.1",
     '"a b"@example.org', "eva@-example.org", "eva@example-.org", "eva@example..org", ".eva@example.org",
     "e..va@example.org", "eva.@example.org", "eva@example.org.", "e\x00va@example.org",
     "eva@example.org\x00",
     "x" * 65 + "@example.org", "eva@" + "a" * 64 + ".org", "eva@" + "a." * 124 + "org",
     "e\u2028va@example.org",
     "eva@exa\u2028mple.org", "e\ud800va@example.org", "=?utf-8?q?=0A?=@example.org",
     "eva;x@example.org", "eva(comment)@example.org"],
)  # fmt: skip
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="Not a mail address"):
        checked_address(given)


@pytest.mark.parametrize(
    "cut", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00", "\x7f"]
)
def test_a_subject_with_more_than_one_line_is_refused_at_submit(cut: str) -> None:
    given = {"to_email": "eva@example.org", "text": "x", "subject": f"Hello{cut}Bcc: x@y.org"}
    with pytest.raises(ValidationError) as caught:
        SendParams.model_validate(given)
    assert [e["loc"] for e in caught.value.errors()] == [("subject",)]
    welcome = {"to_email": "eva@example.org", "username": f"Eva{cut}Bcc: x@y.org"}
    with pytest.raises(ValidationError) as caught:
        SendWelcomeParams.model_validate(welcome)
    assert [e["loc"] for e in caught.value.errors()] == [("username",)]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"to_email": "eva"}, ("to_email",)),
        ({"to_email": ["eva@example.org"]}, ("to_email",)),
        ({"reply_to": "x@y.org\nBcc: z@y.org"}, ("reply_to",)),
        ({"subject": ""}, ("subject",)),
        ({"subject": "   "}, ("subject",)),
        ({"subject": "x" * 501}, ("subject",)),
        ({"text": None, "html_content": None}, ()),
        ({"text": "  \n", "html_content": ""}, ()),
        ({"html_content": "x" * 200_001}, ("html_content",)),
        ({"bcc": "x@y.org"}, ("bcc",)),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], where: tuple[str, ...]) -> None:
    given = {"to_email": "eva@example.org", "subject": "Hello", "text": "Hello"}
    SendParams.model_validate(given)
    with pytest.raises(ValidationError) as caught:
        SendParams.model_validate(given | change)
    assert caught.value.errors()[0]["loc"] == where


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://example.org", "no address", "//example.org"])
def test_a_button_leads_to_a_web_address_only(url: str) -> None:
    with pytest.raises(ValidationError):
        SendWelcomeParams.model_validate({"to_email": "e@example.org", "username": "Eva", "action_url": url})


def test_mail_is_tried_six_times_over_minutes() -> None:
    for task_type in (type_of(tasks.send), type_of(tasks.send_welcome)):
        assert task_type is not None
        waits = [task_type.retry.delay(n, rand=lambda: 1.0).total_seconds() for n in range(1, 6)]
        assert (task_type.retry.max_attempts, waits) == (6, [60, 120, 240, 480, 600])
        soon = task_type.retry.delay(1, error=ConnectionRefusedError(), rand=lambda: 1.0)
        assert soon.total_seconds() == 5
