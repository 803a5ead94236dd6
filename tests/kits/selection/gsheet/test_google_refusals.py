"""What Google refuses, and how it is told: which errors are final, which are tried again, and that no secret shows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from taskyard.domain.tasks import RetryIn
from taskyard.outbound.client import REASONS
from taskyard.running.trial import TaskRun
from taskyard_kits.selection.google import words
from taskyard_kits.selection.settings import SelectionSettings
from tests.kits.conftest import Run
from tests.support.google_server import EMAIL, Book, Fault, Google, write_key_file

MINUTE = timedelta(seconds=60)


def load(call: Run, book_id: str) -> TaskRun:
    return call("selection.load_gsheet", {"gsheet_id": book_id, "tab_name": "People"})


def failure(call: Run, book_id: str) -> tuple[str, bool]:
    run = load(call, book_id)
    return run.fault.code, run.will_retry


def delay(run: TaskRun) -> timedelta:
    assert isinstance(run.outcome, RetryIn)
    return run.outcome.delay


def test_one_token_serves_many_tasks(call: Run, book: Book, google: Google) -> None:
    book.add("People", [["id"], ["1"]])
    for _ in range(3):
        assert load(call, book.id).result
    assert google.token_calls == 1


def test_a_token_near_its_end_is_not_used(call: Run, book: Book, google: Google) -> None:
    google.tokens.life_seconds = 299
    book.add("People", [["id"], ["1"]])
    assert load(call, book.id).result
    assert google.token_calls == len(google.calls) > 1


def test_a_token_that_was_revoked_is_replaced_at_once(call: Run, book: Book, google: Google) -> None:
    book.add("People", [["id"], ["1"]])
    assert load(call, book.id).result
    google.tokens.given.clear()
    assert load(call, book.id).result
    assert google.token_calls == 2


def test_a_token_that_is_refused_twice_is_a_final_error(call: Run, book: Book, google: Google) -> None:
    google.fail(Fault(401), Fault(401), on="/drive/")
    run = load(call, book.id)
    assert (run.fault.code, run.fault.values, run.will_retry) == ("gsheet_login_refused", {"email": EMAIL}, False)


@pytest.mark.parametrize(
    ("shared", "book_id", "code"),
    [
        ("nobody", "", "spreadsheet_not_shared"),
        ("editor", "unknown", "spreadsheet_not_found"),
    ],
)
def test_a_spreadsheet_that_is_missing_differs_from_one_that_is_not_shared(
    call: Run, google: Google, shared: str, book_id: str, code: str
) -> None:
    book = google.book(shared=shared)
    run = load(call, book_id or book.id)
    assert (run.fault.code, run.will_retry) == (code, False)
    assert (run.fault.values or {})["spreadsheet_name"] == (book_id or book.id)
    assert book_id or (run.fault.values or {})["service_account_email"] == EMAIL


def test_an_excel_file_is_no_spreadsheet_of_google(call: Run, book: Book) -> None:
    book.mime_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    assert failure(call, book.id) == ("not_native_gsheet", False)


def test_an_api_that_is_not_enabled_is_told_so(call: Run, book: Book, google: Google) -> None:
    google.disabled = True
    assert failure(call, book.id) == ("gsheet_api_disabled", False)


def test_too_many_calls_wait_as_google_says(call: Run, book: Book, google: Google) -> None:
    google.fail(Fault(429, {"Retry-After": "7"}))
    run = load(call, book.id)
    assert (run.fault.code, delay(run)) == ("gsheet_rate_limited", timedelta(seconds=7))


@pytest.mark.parametrize(
    "fault",
    [Fault(429), Fault(403, body={"error": {"code": 403, "errors": [{"reason": "userRateLimitExceeded"}]}})],
    ids=["sheets", "drive"],
)
def test_too_many_calls_wait_a_minute_where_google_does_not_say(
    call: Run, book: Book, google: Google, fault: Fault
) -> None:
    google.fail(fault, on="GET")
    run = load(call, book.id)
    assert run.fault.code == "gsheet_rate_limited"
    assert timedelta(0) < delay(run) <= MINUTE


@pytest.mark.parametrize("on", ["/token", "/drive/", "/values/"])
def test_an_error_of_the_server_is_tried_again_soon(call: Run, book: Book, google: Google, on: str) -> None:
    google.fail(Fault(503), on=on)
    book.add("People", [["id"], ["1"]])
    run = load(call, book.id)
    assert (run.fault.code, run.fault.values) == ("gsheet_unavailable", {"reason": "HTTP 503"})
    assert delay(run) <= timedelta(seconds=5)


def test_a_server_that_is_away_is_tried_again_soon(run: Run, settings: SelectionSettings, book: Book) -> None:
    away = settings.model_copy(update={"selection_google_sheets_url": "http://127.0.0.1:1"})
    found = run("selection.load_gsheet", {"gsheet_id": book.id, "tab_name": "People"}, settings=away)
    assert found.fault.values == {"reason": {"phrase": "gsheet_unreachable"}}
    assert delay(found) <= timedelta(seconds=5)


def test_the_token_follows_no_redirect(call: Run, book: Book, google: Google) -> None:
    google.fail(Fault(302, {"Location": f"{google.url}/elsewhere"}, body={}), on="/drive/")
    run = load(call, book.id)
    assert run.fault.values == {"reason": {"phrase": "gsheet_redirects"}}
    assert google.calls == []


def break_json(path: Path) -> None:
    path.write_text(path.read_text()[:-10])


def break_key(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "private_key": "-----BEGIN PRIVATE KEY-----\nAAAA"}))


def make_personal(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "type": "authorized_user"}))


@pytest.mark.parametrize("spoil", [break_json, break_key, make_personal, Path.unlink])
def test_a_key_file_that_is_none_is_a_final_error_without_its_content(
    call: Run, book: Book, settings: SelectionSettings, spoil: Callable[[Path], None]
) -> None:
    assert settings.selection_google_key_file is not None
    spoil(settings.selection_google_key_file)
    run = load(call, book.id)
    assert (run.fault.code, run.will_retry) == ("gsheet_key_unusable", False)
    assert "PRIVATE KEY" not in repr(run)


def test_without_a_key_file_the_operator_is_asked(run: Run, book: Book) -> None:
    found = run("selection.load_gsheet", {"gsheet_id": book.id, "tab_name": "People"}, settings=SelectionSettings())
    assert (found.fault.code, found.will_retry) == ("gsheet_not_configured", False)


def test_a_key_that_google_does_not_know_is_final_until_the_file_has_another(
    call: Run, book: Book, google: Google, settings: SelectionSettings
) -> None:
    file = settings.selection_google_key_file
    assert file is not None
    book.add("People", [["id"], ["1"]])
    write_key_file(file, f"{google.url}/token", generate_private_key(65537, 2048))
    assert failure(call, book.id) == ("gsheet_login_refused", False)
    write_key_file(file, f"{google.url}/token")
    assert load(call, book.id).result


def test_no_token_and_no_key_is_told_or_logged(
    call: Run, book: Book, google: Google, settings: SelectionSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    google.fail(Fault(400), on="/values/")
    book.add("People", [["id"], ["1"]])
    run = load(call, book.id)
    assert run.fault.code == "gsheet_request_refused"
    (token,) = google.tokens.given
    for secret in (token, "PRIVATE KEY", "eyJ"):
        assert secret not in repr(run) + (run.fault.traceback or "") + caplog.text + repr(settings)


@pytest.mark.parametrize("address", ["http://example.org", "http://10.0.0.1/token"])
def test_tokens_go_over_tls_only(address: str) -> None:
    with pytest.raises(ValueError, match="https"):
        SelectionSettings(selection_google_token_url=address)


def test_every_code_and_phrase_has_words_in_four_languages() -> None:
    sources = [file.read_text() for file in Path(words.__file__).parent.glob("*.py") if file.name != "words.py"]
    used = {code for source in sources for code in re.findall(r'"(gsheet_[a-z_]+)"', source)}
    phrases = {f"gsheet_{reason}" for reason in REASONS}
    assert used | phrases == words.ERRORS.keys() | (words.PHRASES.keys() - {"tab"})
    for told in (*words.LOAD_ERRORS.values(), *words.PHRASES.values()):
        assert told.keys() == {"en", "de", "fr", "hu"}
