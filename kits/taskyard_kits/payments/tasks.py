"""payments.process: charges a card once, in however many attempts.

Every attempt sends the same parameters with the task's id as Idempotency-Key: for 24 hours Stripe answers a repeat with
what the first one did. From the second attempt on, Stripe is searched first for what the task has charged, which finds
all that is older than an hour at most. So between the two no charge is overlooked, also where a person retries the task
after days. Where the account or its key may not search, the Idempotency-Key alone has to do, while it surely holds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from taskyard import InputUnusable, TaskContext, TaskError, task
from taskyard.domain.errors import SoftTimeLimitExceeded, TaskCancelled
from taskyard.domain.ids import made_at

from .currencies import decimals_of, smallest_units
from .declarations import ProcessParams, ProcessResult
from .rules import RETRY, RULES
from .settings import PaymentSettings
from .stripe import Intent, Stripe
from .words import ERRORS, PHRASES

# Of the 24 hours for which Stripe keeps an Idempotency-Key. The rest is for clocks that are ahead: callers may choose
# ids.
_KEY_HOLDS = timedelta(hours=20)
_SUCCEEDED = "succeeded"
# Nothing was charged, and nothing will be.
_WITHOUT_CHARGE = {"canceled", "requires_payment_method"}


@task("payments.process", queue="high_priority", retry=RETRY, rules=RULES, errors=ERRORS, phrases=PHRASES)
async def process(params: ProcessParams, *, context: TaskContext) -> ProcessResult:
    """Charges a card through Stripe, once in all attempts."""
    settings: PaymentSettings = context.settings
    form = _form(params, context)
    stripe = Stripe.of(settings)
    intent = await _of_earlier_attempts(stripe, context) if context.attempt > 1 else None
    if intent is None:
        try:
            intent = await stripe.create(form, idempotency_key=context.task_id)
        except (TaskCancelled, SoftTimeLimitExceeded):
            context.log("Stopped while Stripe was asked: the card may have been charged.", level="warning")
            raise
    if (str(intent.amount), intent.currency) != (form["amount"], form["currency"]):
        raise TaskError("stripe_unreadable")
    if intent.status == "requires_action":
        raise TaskError("payment_needs_customer", retryable=False)
    if intent.status != _SUCCEEDED:
        raise TaskError("payment_unsettled", retryable=False, transaction_id=intent.id, status=intent.status)
    amount = params.amount.quantize(Decimal(1).scaleb(-decimals_of(params.currency)))
    return ProcessResult(
        payment_id=params.payment_id, amount=str(amount), currency=params.currency, transaction_id=intent.id
    )


def _form(params: ProcessParams, context: TaskContext) -> dict[str, str]:
    """The parameters of the PaymentIntent, the same in every attempt. Raises InputUnusable amount_too_fine."""
    try:
        units = smallest_units(params.amount, params.currency)
    except ValueError:
        decimals = decimals_of(params.currency)
        raise InputUnusable("amount_too_fine", currency=params.currency, decimals=decimals) from None
    form = {
        "amount": str(units),
        "currency": params.currency.lower(),
        "confirm": "true",
        "payment_method": params.payment_method,
        "payment_method_types[]": "card",
        "metadata[task_id]": str(context.task_id),
        "metadata[payment_id]": params.payment_id,
    }
    # Both decline a card whose bank wants to hear from its owner, who is not there. The first one also tells the bank
    # so, and needs a saved card.
    form |= {"error_on_requires_action": "true"} if params.customer is None else {"off_session": "true"}
    more = {"customer": params.customer, "description": params.description}
    return form | {name: value for name, value in more.items() if value is not None}


async def _of_earlier_attempts(stripe: Stripe, context: TaskContext) -> Intent | None:
    """What they charged or may still charge; None where there is no such thing, and where Stripe will answer for it by
    the Idempotency-Key."""
    try:
        intents = await stripe.search(context.task_id)
    except TaskError as e:
        if e.code != "payment_unverified" or not _key_holds(context.task_id):
            raise
        context.log("Stripe does not let this account or its key search: the Idempotency-Key alone is relied on.")
        return None
    found = [intent for intent in intents if intent.status not in _WITHOUT_CHARGE]
    found.sort(key=lambda intent: intent.status != _SUCCEEDED)
    if not found:
        return None
    context.log(f"An earlier attempt made {found[0].id}.")
    return found[0]


def _key_holds(task_id: UUID) -> bool:
    """Whether no attempt can have been before the time for which Stripe keeps the key."""
    made = made_at(task_id)
    return made is not None and timedelta(0) <= datetime.now(UTC) - made < _KEY_HOLDS
