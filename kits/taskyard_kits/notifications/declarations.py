"""What a notification takes and returns."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue, model_validator

from taskyard import Params, Result
from taskyard.catalogue.formats import EmailAddress, OneLine

_NEEDS = {"email": "to_email", "webhook": "webhook_endpoint_id"}
_ONE_RECIPIENT = "email needs to_email, webhook needs webhook_endpoint_id, and neither takes the other's"


def _with(channel: str) -> JsonValue:
    wanted = _NEEDS[channel]
    (other,) = set(_NEEDS.values()) - {wanted}
    return {
        "required": [wanted],
        "properties": {"channel": {"const": channel}, wanted: {"not": {"type": "null"}}, other: {"type": "null"}},
    }


class SendParams(Params):
    model_config = ConfigDict(json_schema_extra={"anyOf": [_with(c) for c in _NEEDS], "x-message": _ONE_RECIPIENT})

    channel: Literal["email", "webhook"]
    message: Annotated[str, Field(min_length=1, max_length=1_000)]
    subject: Annotated[OneLine, Field(min_length=1, max_length=200)] = Field(
        default="Notification", description="Of the mail; a webhook has it beside the message."
    )
    to_email: EmailAddress | None = None
    webhook_endpoint_id: UUID | None = Field(
        default=None, description="One of the endpoints that the key which submits may see."
    )

    @model_validator(mode="after")
    def _has_one_recipient(self) -> Self:
        given = {name for name in _NEEDS.values() if getattr(self, name) is not None}
        if given != {_NEEDS[self.channel]}:
            raise ValueError(_ONE_RECIPIENT)
        return self


class Notified(Result):
    status: Literal["sent"] = "sent"
    channel: Literal["email", "webhook"]
    sent_at: datetime
    message_id: str = Field(description="The same in all attempts of a task: Message-ID, or webhook-id.")
