"""payments.process against a server that speaks as Stripe documents it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import pytest

from taskyard.domain.ids import earliest_id_at, new_id
from taskyard.domain.tasks import RetryIn
from taskyard.environment import InvalidSettings, read_kit_settings
from taskyard.running.trial import NotAdmitted, TaskRun, run_task
from taskyard_api.translation import read_catalogues, telling
from taskyard_kits.payments.currencies import smallest_units
from taskyard_kits.payments.settings import PaymentSettings
from taskyard_kits.payments.words import ERRORS
from tests.support import stripe_server
from tests.support.http_stand_in import Reply
from tests.support.stripe_server import KEY, NEEDS_CUSTOMER, VISA, Stripe

PAYMENT = {"payment_id": "order-7", "amount": "12.50", "currency": "EUR", "payment_method": VISA}


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    with stripe_server.stripe() as server:
        yield server


def pay(
    stripe: Stripe, attempt: int = 1, task_id: UUID | None = None, *, key: str | None = KEY, **params: Any
) -> TaskRun:
    settings = PaymentSettings.model_validate({"stripe_secret_key": key, "stripe_base_url": stripe.url})
    return run_task(
        "payments.process", {**PAYMENT, **params}, settings=settings, attempt=attempt, task_id=task_id or new_id()
    )


def made_before(age: timedelta) -> UUID:
    """The id of a task that was submitted then."""
    drawn = new_id().int & ((1 << 80) - 1)
    return UUID(int=earliest_id_at(datetime.now(UTC) - age).int | drawn)


def form(stripe: Stripe) -> dict[str, str]:
    """What the last call sent."""
    return dict(parse_qsl(stripe.calls[-1].body.decode()))


def said(run: TaskRun) -> str:
    """All that people may come to see."""
    return f"{run.outcome} {run.logs}"


def test_a_card_is_charged(stripe: Stripe) -> None:
    task_id = new_id()
    result = pay(stripe, task_id=task_id, description="Two tickets").result
    (charge,) = stripe.charges
    assert result == {
        "status": "success", "payment_id": "order-7", "amount": "12.50", "currency": "EUR",
        "transaction_id": charge["id"],
    }  # fmt: skip
    (call,) = stripe.calls
    assert (call.method, call.path) == ("POST", "/v1/payment_intents")
    assert call.headers["idempotency-key"] == str(task_id)
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert call.headers["stripe-version"] == "2024-06-20"
    assert form(stripe) == {
        "amount": "1250", "currency": "eur", "confirm": "true", "payment_method": VISA,
        "payment_method_types[]": "card", "metadata[task_id]": str(task_id), "metadata[payment_id]": "order-7",
        "error_on_requires_action": "true", "description": "Two tickets",
    }  # fmt: skip


def test_a_saved_card_is_charged_without_its_owner(stripe: Stripe) -> None:
    assert pay(stripe, customer="cus_9s6XKzkNRiz8i3").result["status"] == "success"
    assert (form(stripe)["customer"], form(stripe)["off_session"]) == ("cus_9s6XKzkNRiz8i3", "true")
    assert "error_on_requires_action" not in form(stripe)


@pytest.mark.parametrize(
    ("amount", "currency", "units", "shown"),
    [
        ("12.5", "EUR", 1250, "12.50"),
        (0.07, "USD", 7, "0.07"),
        (1250, "JPY", 1250, "1250"),
        ("1250.00", "JPY", 1250, "1250"),
        ("5.12", "KWD", 5120, "5.12"),
        ("5.120", "KWD", 5120, "5.12"),
        (5, "UGX", 500, "5"),
        (40, "ISK", 4000, "40"),
        ("10.45", "HUF", 1045, "10.45"),
        (3, "MGA", 3, "3"),
        ("999999.99", "USD", 99_999_999, "999999.99"),
    ],
)
def test_amounts_are_counted_as_stripe_counts_the_currency(
    stripe: Stripe, amount: str | float, currency: str, units: int, shown: str
) -> None:
    result = pay(stripe, amount=amount, currency=currency).result
    assert (stripe.charges[0]["amount"], stripe.charges[0]["currency"]) == (units, currency.lower())
    assert (result["amount"], result["currency"]) == (shown, currency)


@pytest.mark.parametrize(
    ("amount", "currency", "decimals"),
    [("12.505", "EUR", 2), ("0.5", "JPY", 0), ("5.125", "KWD", 2), ("5.5", "UGX", 0), ("5.01", "ISK", 0)],
)
def test_an_amount_with_too_many_decimals_is_refused_and_nothing_is_charged(
    stripe: Stripe, amount: str, currency: str, decimals: int
) -> None:
    run = pay(stripe, amount=amount, currency=currency)
    assert (run.fault.code, run.will_retry) == ("amount_too_fine", False)
    assert f"{currency} has {decimals}." in run.fault.message
    assert not stripe.calls


def test_no_amount_becomes_another_one_by_floating_point() -> None:
    for cents in range(1, 100_000, 7):
        assert smallest_units(Decimal(repr(cents / 100)), "EUR") == cents


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 0}, {"amount": "-1"}, {"amount": "1e3"}, {"amount": "12,50"}, {"amount": "1" * 13},
        {"amount": "1.2345"}, {"amount": None}, {"currency": "EURO"}, {"currency": "XTS"}, {"currency": None},
        {"payment_method": "4242424242424242"}, {"payment_method": "pm_"}, {"payment_method": "pm_a&amount=1"},
        {"customer": "eva"}, {"payment_id": ""}, {"payment_id": "a\nb"},
    ],
)  # fmt: skip
def test_what_the_schema_can_say_is_refused_at_the_submit(stripe: Stripe, wrong: dict[str, Any]) -> None:
    with pytest.raises(NotAdmitted) as refused:
        pay(stripe, **wrong)
    assert {fault.pointer for fault in refused.value.faults} == {f"/params/{name}" for name in wrong}
    assert not stripe.calls


@pytest.mark.parametrize("amount", [-1, 0, "0", "-1", "abc", None, "1" * 13, "1.2345", 1.2345])
def test_a_wrong_amount_is_told_in_one_sentence_in_the_readers_language(stripe: Stripe, amount: Any) -> None:
    with pytest.raises(NotAdmitted) as refused:
        pay(stripe, amount=amount)
    (fault,) = refused.value.faults
    assert fault.message == "Must be above 0, with at most nine digits before the point and three after it: 12.50."
    german = telling(read_catalogues(), "de").tell(fault.message)
    assert german == "Muss größer als 0 sein, mit höchstens neun Stellen vor dem Punkt und drei danach: 12.50."


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"payment_method": "4242424242424242"}, "Doit être l'identifiant d'une carte chez Stripe : pm_..."),
        ({"customer": "eva"}, "Doit être l'identifiant d'un client chez Stripe : cus_..."),
        ({"currency": "eur"}, "Doit être une monnaie, par son code ISO 4217 en majuscules : EUR."),
    ],
)
def test_what_is_wrong_is_told_without_regular_expressions_and_translated(
    stripe: Stripe, wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(NotAdmitted) as refused:
        pay(stripe, **wrong)
    assert [telling(read_catalogues(), "fr").tell(fault.message) for fault in refused.value.faults] == [told]


def test_a_currency_in_small_letters_is_told_how_to_write_it(stripe: Stripe) -> None:
    with pytest.raises(NotAdmitted, match=r"/params/currency: .*ISO 4217, in capitals: EUR"):
        pay(stripe, currency="eur")


@pytest.mark.parametrize(
    ("method", "told", "decline_code"),
    [
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "not enough money", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "has expired", "expired_card"),
        ("pm_card_visa_chargeDeclined", "no reason", "generic_decline"),
        ("pm_card_visa_chargeDeclinedStolenCard", "no reason", "generic_decline"),
    ],
)
def test_a_decline_is_final_and_told_with_its_code(stripe: Stripe, method: str, told: str, decline_code: str) -> None:
    run = pay(stripe, payment_method=method)
    assert (run.fault.code, run.will_retry) == ("payment_declined", False)
    assert f"({decline_code})" in run.fault.message
    assert told in run.fault.message
    assert not stripe.charges
    assert "stolen" not in said(run), "Stripe asks not to tell that"


@pytest.mark.parametrize("customer", [None, "cus_9s6XKzkNRiz8i3"])
def test_a_bank_that_wants_to_hear_from_the_customer_is_a_final_error(stripe: Stripe, customer: str | None) -> None:
    run = pay(stripe, payment_method=NEEDS_CUSTOMER, customer=customer)
    assert (run.fault.code, run.will_retry) == ("payment_needs_customer", False)
    assert stripe.intents[0]["status"] == "requires_payment_method", "nothing stays open"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("requires_action", "payment_needs_customer"),
        ("processing", "payment_unsettled"),
        ("requires_capture", "payment_unsettled"),
        ("something_new", "payment_unsettled"),
    ],
)
def test_only_a_payment_that_succeeded_is_a_success(stripe: Stripe, status: str, code: str) -> None:
    stripe.status = status
    task_id = new_id()
    for attempt in (1, 2):
        run = pay(stripe, attempt, task_id)
        assert (run.fault.code, run.will_retry) == (code, False)
    assert len(stripe.intents) == 1, "what is open is not joined by another one"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (None, "stripe_unanswered"),
        (Reply(500, {"error": {"type": "api_error"}}), "stripe_failed"),
        (Reply(503, b"<html>"), "stripe_failed"),
        (Reply(200, b"<html>"), "stripe_unreadable"),
        (Reply(200, {"id": "pi_1", "status": "succeeded", "amount": 1, "currency": "eur"}), "stripe_unreadable"),
        (Reply(200, {"id": "<a>", "status": "succeeded", "amount": 1250, "currency": "eur"}), "stripe_unreadable"),
    ],
    ids=["hung up", "500", "503", "a page", "another amount", "no id"],
)
def test_where_the_answer_is_lost_it_is_tried_again_and_charged_once(
    stripe: Stripe, reply: Reply | None, code: str
) -> None:
    stripe.after.append(reply)
    task_id = new_id()
    first = pay(stripe, 1, task_id)
    assert (first.fault.code, first.will_retry) == (code, True)
    assert "submit no other one" in first.fault.message
    second = pay(stripe, 2, task_id)
    assert second.result["transaction_id"] == stripe.charges[0]["id"]
    assert len(stripe.charges) == 1


def test_the_key_holds_for_what_the_search_does_not_find_yet(stripe: Stripe) -> None:
    stripe.after.append(None)
    stripe.is_indexed = False
    task_id = new_id()
    assert pay(stripe, 1, task_id).will_retry
    assert pay(stripe, 2, task_id).result["transaction_id"] == stripe.charges[0]["id"]
    posts = [call for call in stripe.calls if call.method == "POST"]
    assert posts[0].body == posts[1].body
    assert len(stripe.charges) == 1


def test_the_search_holds_for_what_the_key_does_not_know_any_more(stripe: Stripe) -> None:
    """A person retries the task after days."""
    stripe.after.append(None)
    task_id = new_id()
    assert pay(stripe, 1, task_id).will_retry
    stripe.forget_keys()
    run = pay(stripe, 5, task_id)
    assert run.result["transaction_id"] == stripe.charges[0]["id"]
    assert len(stripe.charges) == 1
    assert any(stripe.charges[0]["id"] in line for line in run.logs)


def test_a_decline_is_told_again_for_a_day_and_asked_anew_afterwards(stripe: Stripe) -> None:
    task_id = new_id()
    declined = {"payment_method": "pm_card_visa_chargeDeclined"}
    assert pay(stripe, 1, task_id, **declined).fault.code == "payment_declined"
    assert pay(stripe, 2, task_id, **declined).fault.code == "payment_declined"
    assert len(stripe.intents) == 1
    stripe.forget_keys()
    assert pay(stripe, 3, task_id, **declined).fault.code == "payment_declined"
    assert len(stripe.intents) == 2, "what was declined is no charge"


UNSEARCHED = pytest.mark.parametrize(
    "refusal", [stripe_server.NO_SEARCH, stripe_server.NO_RIGHT], ids=["the account", "a restricted key"]
)


@UNSEARCHED
@pytest.mark.parametrize("lost", [True, False], ids=["after a charge", "before a charge"])
def test_where_the_search_is_refused_the_key_alone_charges_once_on_the_first_day(
    stripe: Stripe, refusal: Reply, lost: bool
) -> None:
    task_id = made_before(timedelta(hours=19))
    stripe.search = refusal
    (stripe.after if lost else stripe.before).append(None)
    assert pay(stripe, 1, task_id).will_retry
    run = pay(stripe, 2, task_id)
    assert run.result["transaction_id"] == stripe.charges[0]["id"]
    assert len(stripe.charges) == 1
    assert any("Idempotency-Key alone" in line for line in run.logs)


@UNSEARCHED
@pytest.mark.parametrize(
    "task_id",
    [made_before(timedelta(hours=21)), made_before(timedelta(hours=-3)), uuid4()],
    ids=["the key may be forgotten", "made in the future", "no time in the id"],
)
def test_where_the_search_is_refused_later_no_second_attempt_charges(
    stripe: Stripe, refusal: Reply, task_id: UUID
) -> None:
    stripe.search = refusal
    run = pay(stripe, 2, task_id)
    assert (run.fault.code, run.will_retry) == ("payment_unverified", False)
    assert "may have charged" in run.fault.message
    assert not stripe.intents


def test_a_key_that_is_refused_after_a_charge_asks_for_no_other_task(stripe: Stripe) -> None:
    task_id = new_id()
    stripe.after.append(None)
    assert pay(stripe, 1, task_id).will_retry
    run = pay(stripe, 2, task_id, key="sk_test_another_key_of_somebody")
    assert run.fault.code == "stripe_key_refused"
    assert "submit no other one" in run.fault.message


BUSY = {
    "lock": stripe_server.LOCK_TIMEOUT,
    "rate": stripe_server.RATE_LIMIT,
    "key in use": stripe_server.error(409, "invalid_request_error", "idempotency_key_in_use"),
    "away": stripe_server.asking_for_patience(Reply(503, b""), 7),
}


@pytest.mark.parametrize("reply", BUSY.values(), ids=BUSY.keys())
def test_too_many_calls_are_tried_again_at_their_own_pace(stripe: Stripe, reply: Reply) -> None:
    stripe.before.append(reply)
    run = pay(stripe)
    assert isinstance(run.outcome, RetryIn)
    assert run.fault.code == "stripe_busy"
    asked = dict(reply.headers).get("Retry-After")
    if asked is None:
        assert timedelta(seconds=3) <= run.outcome.delay <= timedelta(seconds=60)
    else:
        assert run.outcome.delay == timedelta(seconds=int(asked))
    assert not stripe.intents


@pytest.mark.parametrize("reply", BUSY.values(), ids=BUSY.keys())
def test_charged_then_busy_to_the_end_says_that_the_card_may_have_been_charged(stripe: Stripe, reply: Reply) -> None:
    task_id = new_id()
    stripe.after.append(None)
    assert pay(stripe, 1, task_id).will_retry
    for attempt in (2, 3, 4):
        stripe.before.append(reply)
        run = pay(stripe, attempt, task_id)
    assert (run.fault.code, run.will_retry) == ("stripe_busy", False)
    assert len(stripe.charges) == 1
    for words in ERRORS["stripe_busy"].values():
        assert "tried again" not in words
    assert "may have been charged" in run.fault.message
    assert "submit no other one" in run.fault.message


def test_other_parameters_under_the_same_task_are_final(stripe: Stripe) -> None:
    task_id = new_id()
    assert pay(stripe, 1, task_id).result
    stripe.is_indexed = False
    run = pay(stripe, 2, task_id, amount=13)
    assert (run.fault.code, run.will_retry) == ("payment_key_reused", False)
    assert len(stripe.charges) == 1


@pytest.mark.parametrize(
    ("params", "reason"),
    [({"currency": "KPW"}, "currency_not_supported"), ({"amount": "1000000.00"}, "amount_too_large")],
)
def test_a_refused_parameter_is_final_and_named_by_its_code(
    stripe: Stripe, params: dict[str, Any], reason: str
) -> None:
    run = pay(stripe, **params)
    assert (run.fault.code, run.will_retry) == ("payment_refused", False)
    assert reason in run.fault.message


@pytest.mark.parametrize("key", [None, "sk_test_another_key_of_somebody"])
def test_without_the_right_key_it_is_final(stripe: Stripe, key: str | None) -> None:
    run = pay(stripe, key=key)
    assert (run.fault.code, run.will_retry) == (
        "stripe_not_configured" if key is None else "stripe_key_refused", False
    )  # fmt: skip
    assert "STRIPE_SECRET_KEY" in run.fault.message
    assert "another_key" not in said(run)


@pytest.mark.parametrize(
    "reply",
    [
        stripe_server.error(402, "card_error", "card_declined", decline_code="4242 4242"),
        stripe_server.error(400, "invalid_request_error", "<script>"),
        stripe_server.error(400, KEY),
        stripe_server.error(401, "invalid_request_error"),
        stripe_server.error(402, "card_error", "x" * 65),
        Reply(402, {"error": [KEY]}),
        Reply(400, [KEY]),
    ],
    ids=["decline", "code", "kind", "key", "long", "list", "no object"],
)
def test_nothing_of_stripes_own_words_is_passed_on(stripe: Stripe, reply: Reply) -> None:
    stripe.before.append(reply)
    run = pay(stripe)
    assert not run.will_retry
    assert not any(part in said(run) for part in ("card 4242", "4242 4242", KEY[:8], "script", "xxxxx"))


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        (
            {"STRIPE_SECRET_KEY": "sk_live_1", "STRIPE_BASE_URL": "http://stripe.org"},
            "TASKYARD_STRIPE_BASE_URL",
        ),
        (
            {"STRIPE_SECRET_KEY": "sk_live_1", "STRIPE_BASE_URL": "HTTP://stripe.org"},
            "TASKYARD_STRIPE_BASE_URL",
        ),
        (
            {"STRIPE_SECRET_KEY": "rk_live_1_test_1", "STRIPE_BASE_URL": "http://stripe.org"},
            "TASKYARD_STRIPE_BASE_URL",
        ),
        ({"STRIPE_SECRET_KEY": "sk live"}, "STRIPE_SECRET_KEY"),
        ({"TASKYARD_STRIPE_BASE_URL": "stripe"}, "TASKYARD_STRIPE_BASE_URL"),
    ],
)
def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=f"^{named}") as refused:
        read_kit_settings(PaymentSettings)
    assert "live_1" not in str(refused.value)
