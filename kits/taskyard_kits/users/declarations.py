"""What the tasks of users take and return."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from taskyard import Params, Result
from taskyard.store.users import MAX_USER_ID


class UserParams(Params):
    user_id: int = Field(ge=1, le=MAX_USER_ID)


class StatsUpdated(Result):
    user_id: int
    login_count: int = Field(description="With this login; the same in all attempts of a task.")
    last_activity: datetime
    updated_at: datetime


class ProfileCreated(Result):
    status: Literal["created", "already_exists"]
    profile_id: UUID
