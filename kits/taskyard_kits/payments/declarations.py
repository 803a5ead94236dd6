"""What a payment takes and returns."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from taskyard import Params, Result
from taskyard.catalogue.formats import OneLine
from taskyard.domain.messages import marked

from .currencies import CODES


def _currency(code: str) -> str:
    if code not in CODES:
        raise ValueError("no currency")
    return code


Currency = Annotated[
    str,
    AfterValidator(_currency),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "enum": sorted(CODES)}],
            "x-message": marked("Must be a currency by its code in ISO 4217, in capitals: EUR."),
        }
    ),
]


_AMOUNT = marked("Must be above 0, with at most nine digits before the point and three after it: 12.50.")


class ProcessParams(Params):
    payment_id: Annotated[OneLine, Field(min_length=1, max_length=200)] = Field(
        description="Your own id of the payment; Stripe shows it in the metadata."
    )
    amount: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=3)] = Field(
        description="Of whole units: 12.50 of EUR, 1250 of JPY. A text or a number.",
        json_schema_extra={
            "x-message": marked("Must be above 0, with at most nine digits before the point and three after it: 12.50.")
        },
    )
    currency: Currency
    payment_method: str = Field(
        pattern="^(pm|card|src)_[A-Za-z0-9_]{1,200}$",
        description="Stripe's id of the card: pm_...",
        json_schema_extra={"x-message": marked("Must be Stripe's id of a card: pm_...")},
    )
    customer: str | None = Field(
        default=None,
        pattern="^cus_[A-Za-z0-9_]{1,200}$",
        description="Stripe's id of the customer whose saved card it is: cus_...",
        json_schema_extra={"x-message": marked("Must be Stripe's id of a customer: cus_...")},
    )
    description: Annotated[OneLine, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="Shown in Stripe's dashboard and on its receipts."
    )


class ProcessResult(Result):
    status: Literal["success"] = "success"
    payment_id: str
    amount: str = Field(description="In decimals, as the currency has them.")
    currency: str
    transaction_id: str = Field(description="Stripe's id of the PaymentIntent: pi_...")
