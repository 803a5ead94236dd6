"""Users and what is sent to them: bodies and answers, beside models.py and answers.py."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from taskyard.admission.bodies import NUMBER, Body, Id
from taskyard.catalogue.formats import EmailAddress, OneLine
from taskyard.store.users import MAX_USER_ID

from .answers import Shown
from .models import Query, Truth

UserId = Annotated[int, Field(ge=1, le=MAX_USER_ID), NUMBER]


class UserBody(Body):
    """The whole of it: what is left out is empty afterwards."""

    email: EmailAddress
    name: Annotated[OneLine, Field(min_length=1, max_length=100)]
    webhook_endpoint_id: Id | None = Field(
        default=None, description="Where `notifications.send` reaches the user: one of your webhook endpoints."
    )


class SendWelcomeBody(Body):
    user_id: UserId


class EraseQuery(Query):
    dry_run: Truth = Field(default=False, description="Only count: see the result of the task.")


class Erasing(Shown):
    task_id: UUID = Field(description="Of the type `users.erase`; its result tells how much was erased.")
    message: str
    status: Literal["PENDING"]


class UserProfile(Shown):
    profile_id: UUID
    created_at: datetime


class UserStatistics(Shown):
    login_count: int
    last_activity: datetime | None


class User(Shown):
    user_id: int
    email: str
    name: str
    webhook_endpoint_id: UUID | None
    created_at: datetime
    updated_at: datetime = Field(description="When email, name or endpoint were last changed.")
    profile: UserProfile | None = Field(description="Made by `users.create_profile`.")
    statistics: UserStatistics = Field(description="Counted by `users.update_stats`.")


class ToldUser(Shown):
    """A user as it is shown to a key without the scope `read`."""

    user_id: int
    created_at: datetime
    updated_at: datetime


class WelcomeQueued(Shown):
    task_id: UUID
    message: str
    status: Literal["PENDING"]
