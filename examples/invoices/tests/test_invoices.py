"""Tests of the tasks, without any server of the platform."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from invoices import KIT
from invoices.hooks import Failures
from invoices.settings import InvoiceSettings
from invoices.tasks import number, payments, write

from taskyard.catalogue.types import type_of
from taskyard.testing import NotAdmitted, run_task

TOKEN = "a-token-nobody-may-read"
SETTINGS = InvoiceSettings(currency="CHF")


class Bank(BaseHTTPRequestHandler):
    """Speaks as the bank does."""

    def do_GET(self) -> None:
        status = 200 if self.headers["Authorization"] == f"Bearer {TOKEN}" else 401
        if self.path.endswith("busy"):
            status = 503
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps([{"amount": "9.50"}, {"amount": "1.00"}]).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bank() -> Iterator[InvoiceSettings]:
    with HTTPServer(("127.0.0.1", 0), Bank) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield InvoiceSettings(bank_url=f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()


def test_a_function_stays_callable() -> None:
    assert number(2026, 17) == "2026-00017"
    assert run_task(number, {"year": 2026, "count": 17}).result == "2026-00017"


def test_parameters_are_checked_as_at_a_submit() -> None:
    with pytest.raises(NotAdmitted, match=r"/params/count: .*1"):
        run_task(number, {"year": 2026, "count": 0})


def test_an_invoice_is_added_up_in_the_currency_of_the_settings() -> None:
    lines = [{"text": "paper", "price": 0.10, "count": 3}, {"text": "ink", "price": "9.20"}]
    run = run_task(write, {"customer": "ada", "lines": lines}, settings=SETTINGS)
    assert run.result == {"customer": "ada", "total": "9.50", "currency": "CHF"}
    assert run.progress == [(1, 2, "Adding up"), (2, 2, "Adding up")]


def test_an_empty_invoice_fails_for_good_with_words_in_two_languages() -> None:
    run = run_task(write, {"customer": "ada", "lines": []}, settings=SETTINGS)
    assert (run.fault.code, run.will_retry) == ("nothing_to_bill", False)
    assert run.fault.message == "ada has nothing to pay. Add a line to the invoice."
    declared = type_of(write)
    assert declared is not None
    assert set(declared.errors["nothing_to_bill"]) == {"en", "de"}


def test_payments_are_counted_with_the_token(bank: InvoiceSettings, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_task(payments, {"account": "1", "token": TOKEN}, settings=bank)
    assert run.result == 2
    assert TOKEN not in capsys.readouterr().out


def test_a_wrong_token_is_not_tried_again(bank: InvoiceSettings) -> None:
    run = run_task(payments, {"account": "1", "token": "wrong"}, settings=bank)
    assert run.fault.message == "The bank refused the token (401). Check it, then submit the task anew."
    assert not run.will_retry


def test_a_busy_bank_is_asked_again_until_the_last_attempt(bank: InvoiceSettings) -> None:
    busy = {"account": "busy", "token": TOKEN}
    assert run_task(payments, busy, settings=bank).will_retry
    assert not run_task(payments, busy, settings=bank, attempt=5).will_retry


def test_a_bank_that_does_not_answer_is_asked_again() -> None:
    nowhere = InvoiceSettings(bank_url="http://127.0.0.1:1/")
    assert run_task(payments, {"account": "1", "token": TOKEN}, settings=nowhere).will_retry


def test_the_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOICES_CURRENCY", "HUF")
    run = run_task("invoices.write", {"customer": "ada", "lines": [{"text": "ink", "price": 1}]})
    assert run.result["currency"] == "HUF"
    assert KIT.queues == ("invoices",)


def test_the_hook_logs_failures_of_this_kit_and_no_others(caplog: pytest.LogCaptureFixture) -> None:
    fault = run_task(write, {"customer": "ada", "lines": []}, settings=SETTINGS).fault
    for name in ("invoices.write", "email.send"):
        Failures().on_failure(SimpleNamespace(name=name, task_id=7), fault)
    assert caplog.messages == ["invoices.write 7 failed: nothing_to_bill"]
