"""API keys: body and answers, beside models.py and answers.py."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from taskyard.admission.bodies import Body, Instant, QueueName
from taskyard.domain.messages import message

from .answers import Page, Shown
from .auth import Scope
from .key_changes import MAX_DAYS, MAX_NAME, is_name

_MOST_QUEUES = 100


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(message("Must have printable characters only."))
    return text


class KeyBody(Body):
    """A key gives no more than the key that makes it has: of its queues, and for no longer."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_name)] = Field(
        description="Unique; tasks remember it as `submitted_by`."
    )
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope), description="`admin` includes the others.")
    queues: list[QueueName] | None = Field(
        default=None,
        min_length=1,
        max_length=_MOST_QUEUES,
        description="Only these; by default those of the key that makes it.",
    )
    expires_at: Instant | None = Field(
        default=None, description=f"In {MAX_DAYS:,} days at most; by default when the key that makes it does."
    )


class OwnKey(Shown):
    id: UUID
    name: str
    scopes: list[Scope] = Field(description="`admin` includes the others.")
    queues: list[str] | None = Field(description="Null: all.")
    expires_at: datetime | None


class Key(OwnKey):
    prefix: str = Field(description="What it begins with, behind `ty_`.")
    state: Literal["valid", "expired", "revoked"]
    created_at: datetime
    revoked_at: datetime | None


class NewKey(Key):
    key: str = Field(description="The key itself; shown this once.")


class KeyPage(Page[Key]):
    pass
