"""What a notification takes and returns."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue, model_validator

from taskyard import Params, Person, Result
from taskyard.catalogue.formats import EmailAddress, OneLine
from taskyard.store.users import MAX_USER_ID

_DEFAULT: Literal["email"] = "email"
# The recipients that a channel has; one of them.
_RECIPIENTS = {"email": ("to_email", "user_id"), "webhook": ("webhook_endpoint_id", "user_id")}
_ALL = ("to_email", "webhook_endpoint_id", "user_id")
_ONE_RECIPIENT = "give one recipient: email takes to_email or user_id, webhook takes webhook_endpoint_id or user_id"


def _with(channel: str, recipient: str) -> JsonValue:
    others: dict[str, JsonValue] = {name: {"type": "null"} for name in _ALL if name != recipient}
    return {
        "required": [recipient] if channel == _DEFAULT else [recipient, "channel"],
        "properties": {"channel": {"const": channel}, recipient: {"not": {"type": "null"}}, **others},
    }


class SendParams(Params):
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [_with(channel, name) for channel, names in _RECIPIENTS.items() for name in names],
            "x-message": _ONE_RECIPIENT,
        }
    )

    channel: Literal["email", "webhook"] = _DEFAULT
    message: Annotated[str, Field(min_length=1, max_length=1_000)]
    subject: Annotated[OneLine, Field(min_length=1, max_length=200)] = Field(
        default="Notification", description="Of the mail; a webhook has it beside the message."
    )
    to_email: Person[EmailAddress] | None = None
    webhook_endpoint_id: UUID | None = Field(
        default=None, description="One of the endpoints that the key which submits may see."
    )
    user_id: Person[Annotated[int, Field(ge=1, le=MAX_USER_ID)]] | None = Field(
        default=None, description="A user that the key which submits may see, at its address or its endpoint."
    )

    @model_validator(mode="after")
    def _has_one_recipient(self) -> Self:
        given = [name for name in _ALL if getattr(self, name) is not None]
        if len(given) != 1 or given[0] not in _RECIPIENTS[self.channel]:
            raise ValueError(_ONE_RECIPIENT)
        return self


class Notified(Result):
    status: Literal["sent"] = "sent"
    channel: Literal["email", "webhook"]
    sent_at: datetime
    message_id: str = Field(description="The same in all attempts of a task: Message-ID, or webhook-id.")
