"""What the mail types take and return: messages written by the caller, and messages made from templates."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, HttpUrl, JsonValue, model_validator

from taskyard import Params, Person, Result, Secret
from taskyard.catalogue.formats import EmailAddress, OneLine

LONGEST_BODY = 200_000

Language = Annotated[
    str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$", max_length=35, examples=["en", "de-AT"])
]

# A header line has 998 bytes at most.
UnsubscribeUrl = Annotated[HttpUrl, Field(max_length=900)]

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

    to_email: Person[EmailAddress]
    subject: Annotated[OneLine, Field(min_length=1, max_length=500)]
    text: Annotated[str, Field(max_length=LONGEST_BODY)] | None = Field(
        default=None,
        description="The plain text part; made from html_content where it is missing. With html_content and the rest"
        " of the parameters 256 KiB at most.",
    )
    html_content: Annotated[str, Field(max_length=LONGEST_BODY)] | None = None
    reply_to: EmailAddress | None = None
    unsubscribe_url: UnsubscribeUrl | None = Field(
        default=None, description="For messages to many: where a recipient leaves the list (List-Unsubscribe)."
    )

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


Name = Annotated[OneLine, Field(min_length=1, max_length=100)]


class SendWelcomeParams(Params):
    to_email: Person[EmailAddress]
    username: Name
    language: Language = Field(
        default="en", description="A language tag; English where there is no translation (en, de, fr, hu)."
    )
    app_name: Name = Field(default="Taskyard", description="What the recipient is welcomed to.")
    action_url: HttpUrl | None = Field(default=None, description="Where the message's button leads.")


# Nothing that a URL or HTML would write in another way: so the token is struck out wherever it is shown.
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]+$", min_length=4, max_length=500)]


class SendTokenParams(Params):
    to_email: Person[EmailAddress]
    username: Name
    token: Secret[Token] = Field(description="What proves that the recipient has read the message.")
    language: Language = Field(
        default="en", description="A language tag; English where there is no translation (en, de, fr, hu)."
    )
    app_name: Name = Field(default="Taskyard", description="Where the account is.")
    action_url: HttpUrl | None = Field(
        default=None,
        description="The link of the message: the token is added to its query. Without it, the message"
        " shows the token as a code.",
    )
    expires_in_minutes: Annotated[int, Field(ge=2, le=100_000)] | None = Field(
        default=None, description="How long the token is valid, which the message tells."
    )


class Recipient(Params):
    to_email: EmailAddress
    username: Name | None = Field(default=None, description="What {{ username }} becomes.")
    language: Language | None = Field(default=None, description="Of the words around the text, where it is another.")
    unsubscribe_url: UnsubscribeUrl | None = Field(default=None, description="The recipient's own.")


_ONE_LIST = "recipients or item_id must be given, and not both"


def _only(name: str, other: str) -> JsonValue:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}, other: {"type": "null"}}}


class SendNewsletterParams(Params):
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [_only("recipients", "item_id"), _only("item_id", "recipients")],
            "x-message": _ONE_LIST,
        }
    )

    subject: Annotated[OneLine, Field(min_length=1, max_length=400)]
    text: Annotated[str, Field(min_length=1, max_length=50_000)] = Field(
        description="The plain text; {{ username }} in it, and in subject and html_content, is the recipient's."
    )
    html_content: Annotated[str, Field(max_length=100_000)] | None = Field(
        default=None, description="The HTML between the frame's head and foot; made from the text where it is missing."
    )
    recipients: Annotated[list[Recipient], Field(min_length=1, max_length=10_000)] | None = None
    item_id: UUID | None = Field(
        default=None,
        description="A stored file with one recipient on each line: an address, or a JSON object as in recipients.",
    )
    language: Language = Field(default="en", description="Of the words around the text.")
    app_name: Name = Field(default="Taskyard", description="Whose news these are.")
    reply_to: EmailAddress | None = None
    unsubscribe_url: UnsubscribeUrl | None = Field(
        default=None, description="Where a recipient leaves the list, who has no unsubscribe_url of their own."
    )

    @model_validator(mode="after")
    def _has_one_list(self) -> Self:
        if (self.recipients is None) == (self.item_id is None):
            raise ValueError(_ONE_LIST)
        return self


class NewsletterSubmitted(Result):
    """`recipients`: so many `email.send` were submitted, one to each address. `skipped` lines, or entries, are no
    recipients; `skipped_lines` has the numbers of the first ten, from 1."""

    recipients: int
    duplicates: int
    skipped: int
    skipped_lines: list[int]
