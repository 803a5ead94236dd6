"""email.send_newsletter: one message for each recipient, and none twice."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from taskyard.admission.parameters import MAX_PARAMS_BYTES
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed
from taskyard.running.batches import KeptMarks
from taskyard.running.trial import NotAdmitted, TaskRun, run_task
from taskyard_kits.mail import recipients, templates
from taskyard_kits.mail.declarations import LONGEST_BODY
from tests.kits.conftest import Run, Upload
from tests.kits.mail.sending import settings

GIVEN = {"subject": "News for {{ username }}", "text": "Dear {{username}},\n\nit is <spring>.", "app_name": "Yard"}
EVA = {"to_email": "eva@example.org", "username": "Éva & Co"}


def submit(listed: list[Any], **more: Any) -> TaskRun:
    given = GIVEN | {"recipients": [one if isinstance(one, dict) else {"to_email": one} for one in listed]}
    marks = {name: more.pop(name) for name in ("marks", "task_id") if name in more}
    return run_task("email.send_newsletter", given | more, settings=settings(1), **marks)


def submitted(run: TaskRun) -> list[dict[str, Any]]:
    return [dict(child.params) for child in run.submitted]


def failed(run: TaskRun) -> str:
    assert isinstance(run.outcome, Failed), run.outcome
    assert run.submitted == [], "nothing was sent"
    return run.fault.code


def test_each_recipient_gets_an_email_of_their_own_behind_everything_else() -> None:
    run = submit([EVA, "b@example.org"])
    assert run.result == {"recipients": 2, "duplicates": 0, "skipped": 0, "skipped_lines": []}
    assert [(child.name, child.queue) for child in run.submitted] == [("email.send", "low_priority")] * 2
    first, second = submitted(run)
    assert (first["to_email"], second["to_email"]) == ("eva@example.org", "b@example.org")
    assert first["subject"] == "News for Éva & Co"
    assert first["text"].startswith("Dear Éva & Co,\n\nit is <spring>.\n")
    assert "<p>Dear Éva &amp; Co,</p>\n<p>it is &lt;spring&gt;.</p>" in first["html_content"]
    assert second["subject"] == "News for"


def test_html_of_the_caller_is_kept_and_a_name_in_it_is_escaped() -> None:
    run = submit([EVA | {"username": "<b>"}], html_content="<h1>Hello {{ username }}</h1>")
    assert "<h1>Hello &lt;b&gt;</h1>" in submitted(run)[0]["html_content"]


@pytest.mark.parametrize("language", templates.LANGUAGES)
def test_the_words_around_the_text_are_in_the_recipients_language(language: str) -> None:
    words = {
        "en": ("you have subscribed", "Unsubscribe"),
        "de": ("abonniert haben", "Abbestellen"),
        "fr": ("est inscrite", "Se désabonner"),
        "hu": ("feliratkozott", "Leiratkozás"),
    }[language]
    listed = [EVA, EVA | {"to_email": "b@example.org", "language": "en"}]
    run = submit(listed, language=f"{language}-XX", unsubscribe_url="https://example.org/leave?a=1&b=2")
    own, english = submitted(run)
    for part in (own["text"], own["html_content"]):
        assert all(word in part for word in words)
    assert "https://example.org/leave?a=1&b=2" in own["text"]
    assert 'href="https://example.org/leave?a=1&amp;b=2"' in own["html_content"]
    assert own["unsubscribe_url"] == "https://example.org/leave?a=1&b=2"
    assert "you have subscribed" in english["text"]


def test_a_recipients_own_address_for_leaving_comes_before_that_of_the_list() -> None:
    run = submit(
        [EVA | {"unsubscribe_url": "https://example.org/eva"}, "b@example.org"], unsubscribe_url="https://e.org/"
    )
    assert [one["unsubscribe_url"] for one in submitted(run)] == ["https://example.org/eva", "https://e.org/"]


def test_nobody_is_written_to_twice_whatever_the_list_repeats() -> None:
    run = submit(["a@example.org", "A@Example.org", "b@example.org", "a@example.org"])
    assert run.result == {"recipients": 2, "duplicates": 2, "skipped": 0, "skipped_lines": []}
    assert [one["to_email"] for one in submitted(run)] == ["a@example.org", "b@example.org"]


def test_the_same_recipient_is_the_same_child_in_every_attempt() -> None:
    task_id = new_id()
    first, again = (submit(["a@example.org", "b@example.org"], task_id=task_id) for _ in range(2))
    assert [child.key for child in first.submitted] == [child.key for child in again.submitted]
    assert first.submitted[0].key == "a@example.org"


def test_another_attempt_goes_on_where_it_stopped_and_counts_all_of_them() -> None:
    marks, task_id, listed = KeptMarks(), new_id(), [f"to-{n}@example.org" for n in range(250)]
    marks[task_id] = 200
    run = submit([*listed, "TO-3@example.org"], marks=marks, task_id=task_id)
    assert [one["to_email"] for one in submitted(run)] == listed[200:]
    assert run.result == {"recipients": 250, "duplicates": 1, "skipped": 0, "skipped_lines": []}
    assert [*run.progress[0]] == [200, 251, "Submitting"]
    assert [*run.progress[-1]] == [251, 251, "Submitting"]


# Lists that are files


def newsletter(run: Run, upload: Upload, content: bytes, **more: Any) -> TaskRun:
    item = upload(content)
    return run("email.send_newsletter", GIVEN | {"item_id": item.id} | more, settings=settings(1))


def test_a_file_has_a_recipient_on_each_line_and_other_lines_are_told(run: Run, upload: Upload) -> None:
    whole = json.dumps(EVA | {"language": "de", "unsubscribe_url": "https://example.org/eva"})
    lines = [
        "\ufeffa@example.org",
        whole,
        "",
        "no address",
        '{"to_email": "b@example.org", "more": 1}',
        "{",
        " b@example.org ",
    ]
    ran = newsletter(run, upload, "\r\n".join(lines).encode() + b"\n\xff\xfe@example.org")
    assert [one["to_email"] for one in submitted(ran)] == ["a@example.org", "eva@example.org", "b@example.org"]
    assert "abonniert" in submitted(ran)[1]["text"]
    assert ran.result == {"recipients": 3, "duplicates": 0, "skipped": 5, "skipped_lines": [3, 4, 5, 6, 8]}
    assert ran.progress[-1] == (8, 8, "Submitting")


def test_a_file_that_is_no_list_is_a_final_error_before_anything_is_sent(run: Run, upload: Upload) -> None:
    assert failed(newsletter(run, upload, b"a@example.org\n" + b"x" * 8193)) == "recipients_unreadable"
    assert failed(newsletter(run, upload, b"a@example.org\n" * 200_001)) == "too_many_recipients"


def test_a_list_of_another_caller_is_not_found(run: Run, upload: Upload) -> None:
    item = upload(b"a@example.org", submitted_by="other")
    ran = run(
        "email.send_newsletter", GIVEN | {"item_id": item.id}, settings=settings(1),
        submitted_by="ci", allowed_queues=["low_priority"],
    )  # fmt: skip
    assert failed(ran) == "item_not_found"


def test_lines_are_read_whole_wherever_a_block_ends() -> None:
    class Slow:
        def __init__(self, content: bytes, size: int) -> None:
            self._blocks = [content[n : n + size] for n in range(0, len(content), size)]

        def read(self, _: int) -> bytes:
            return self._blocks.pop(0) if self._blocks else b""

    for size in range(1, 12):
        assert [*recipients.lines(Slow(b"ab\n\ncdef\ng", size))] == [b"ab", b"", b"cdef", b"g"]  # type: ignore[arg-type]
        assert [*recipients.lines(Slow(b"ab\n", size))] == [b"ab"]  # type: ignore[arg-type]


# What no recipient could get


@pytest.mark.parametrize("place", ["subject", "text", "html_content"])
def test_a_placeholder_that_is_not_known_is_a_final_error_before_anything_is_sent(place: str) -> None:
    run = submit(["a@example.org"], **{place: "Dear {{ first_name }}"})
    assert failed(run) == "placeholder_unknown"
    assert "{{ first_name }}" in run.fault.message


@pytest.mark.parametrize(
    ("text", "html"),
    [("x", "😀" * 50_000), ("{{ username }}" * 3_000, None), ("&" * 49_000, None), ("x", "{{username}}" * 8_000)],
)
def test_a_newsletter_that_would_not_fit_is_refused_before_anything_is_sent(text: str, html: str | None) -> None:
    """Where it is taken, the longest name fits as well."""
    longest = {
        "to_email": "a" * 60 + "@example.org",
        "username": "'" * 100,
        "unsubscribe_url": "https://e.org/" + "x" * 880,
    }
    run = submit(["a@example.org", longest], text=text, html_content=html)
    if isinstance(run.outcome, Failed):
        assert failed(run) == "newsletter_too_large"
    else:
        assert all(len(json.dumps(one, ensure_ascii=False).encode()) <= MAX_PARAMS_BYTES for one in submitted(run))
        assert all(len(one["html_content"]) <= LONGEST_BODY for one in submitted(run))


@pytest.mark.parametrize("text", ["{{" * 25_000, "{{ " * 16_000, "}}{{" * 12_000, "{" * 50_000])
def test_braces_cost_linear_time(text: str) -> None:
    started = time.monotonic()
    submit(["a@example.org"], text=text)
    assert time.monotonic() - started < 10


def test_one_list_is_given() -> None:
    wrong: list[dict[str, Any]] = [
        {},
        {"recipients": [EVA], "item_id": str(new_id())},
        {"recipients": []},
        {"recipients": None},
    ]
    for more in wrong:
        with pytest.raises(NotAdmitted):
            run_task("email.send_newsletter", GIVEN | more, settings=settings(1))
