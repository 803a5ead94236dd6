"""What the mail types take and return: messages written by the caller, and messages made from templates."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, HttpUrl, JsonValue, model_validator

from taskyard import Params, Result
from taskyard.catalogue.formats import EmailAddress, OneLine

_MAX_BODY = 200_000

Language = Annotated[
    str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$", max_length=35, examples=["en", "de-AT"])
]


# Visible: what `str.strip` leaves something of.
_VISIBLE: dict[str, JsonValue] = {"type": "string", "pattern": r"[^\s\x1c-\x1f\x85]"}
_SAYS_NOTHING = "text or html_content must be given, and not be blank"


class SendParams(Params):
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": [n], "properties": {n: _VISIBLE}} for n in ("text", "html_content")],
            "x-message": _SAYS_NOTHING,
        }
    )

    to_email: EmailAddress
    subject: Annotated[OneLine, Field(min_length=1, max_length=500)]
    text: Annotated[str, Field(max_length=_MAX_BODY)] | None = Field(
        default=None,
        description="The plain text part; made from html_content where it is missing. With html_content and the rest"
        " of the parameters 256 KiB at most.",
    )
    html_content: Annotated[str, Field(max_length=_MAX_BODY)] | None = None
    reply_to: EmailAddress | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.text or "").strip() and not (self.html_content or "").strip():
            raise ValueError(_SAYS_NOTHING)
        return self


class Sent(Result):
    """The mail server accepted the message. `message_id` is the same in all attempts of a task."""

    status: Literal["sent"] = "sent"
    recipient: str
    sent_at: datetime
    message_id: str


class SendWelcomeParams(Params):
    to_email: EmailAddress
    username: Annotated[OneLine, Field(min_length=1, max_length=100)]
    language: Language = Field(
        default="en", description="A language tag; English where there is no translation (en, de, fr, hu)."
    )
    app_name: Annotated[OneLine, Field(min_length=1, max_length=100)] = Field(
        default="Taskyard", description="What the recipient is welcomed to."
    )
    action_url: HttpUrl | None = Field(default=None, description="Where the message's button leads.")
