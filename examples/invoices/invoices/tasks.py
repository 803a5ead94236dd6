"""Three task types: a plain function, a coroutine function with a secret, and one with models."""

from decimal import Decimal
from http import HTTPStatus
from typing import Annotated

import httpx
from pydantic import Field

from taskyard import Params, Result, Retry, Secret, TaskContext, TaskError, task

from .settings import InvoiceSettings
from .words import ERRORS, PHRASES

_BANK_SECONDS = 20.0
_CENT = Decimal("0.01")


@task("invoices.number", queue="invoices")
def number(year: Annotated[int, Field(ge=2000, le=9999)], count: Annotated[int, Field(ge=1)]) -> str:
    """Makes the number of an invoice."""
    return f"{year}-{count:05}"


class Line(Params):
    text: Annotated[str, Field(min_length=1, max_length=200)]
    # Money is a Decimal: a float has no exact cents. In JSON it is a number or text.
    price: Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]
    count: Annotated[int, Field(ge=1, le=10_000)] = 1


class WriteParams(Params):
    customer: Annotated[str, Field(min_length=1, max_length=100)]
    lines: Annotated[list[Line], Field(max_length=1000)]


class Invoice(Result):
    customer: str
    total: Decimal
    currency: str


@task("invoices.write", queue="invoices", errors=ERRORS, phrases=PHRASES)
def write(params: WriteParams, *, context: TaskContext) -> Invoice:
    """Adds up the lines of an invoice."""
    settings: InvoiceSettings = context.settings
    total = Decimal(0)
    for done, line in enumerate(params.lines, start=1):
        total += line.price * line.count
        context.progress(done, len(params.lines), "Adding up")
    if not total:
        # Another attempt would find the same: no retry.
        raise TaskError("nothing_to_bill", retryable=False, customer=params.customer)
    return Invoice(customer=params.customer, total=total.quantize(_CENT), currency=settings.currency)


@task("invoices.payments", queue="invoices", max_attempts=5, errors=ERRORS, phrases=PHRASES)
async def payments(account: str, token: Secret[str], *, context: TaskContext) -> int:
    """Asks the bank how many payments have arrived."""
    settings: InvoiceSettings = context.settings
    if settings.bank_url is None:
        raise TaskError("bank_not_configured", retryable=False)
    # The secret is plain only here; in the ledger it is encrypted, in logs it is ***.
    headers = {"Authorization": f"Bearer {token.reveal()}"}
    async with httpx.AsyncClient(base_url=str(settings.bank_url), headers=headers, timeout=_BANK_SECONDS) as bank:
        try:
            answer = await bank.get("payments", params={"account": account})
        except httpx.TransportError as e:
            # The type's retry policy says when: connection errors come back after 5 s.
            raise ConnectionError("the bank does not answer") from e
    if answer.status_code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        raise Retry("the bank is busy")
    if answer.status_code != HTTPStatus.OK:
        what = "token" if answer.status_code == HTTPStatus.UNAUTHORIZED else "account"
        raise TaskError("bank_refused", retryable=False, what={"phrase": what}, status=answer.status_code)
    return len(answer.json())
