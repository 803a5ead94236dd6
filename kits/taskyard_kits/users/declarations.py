"""What the tasks of users take and return."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from taskyard import Params, Person, Result
from taskyard.store.users import MAX_USER_ID


class UserParams(Params):
    user_id: Person[int] = Field(ge=1, le=MAX_USER_ID)


class StatsUpdated(Result):
    user_id: int
    login_count: int = Field(description="With this login; the same in all attempts of a task.")
    last_activity: datetime
    updated_at: datetime


class ProfileCreated(Result):
    status: Literal["created", "already_exists"]
    profile_id: UUID


class EraseParams(Params):
    """Of no person by itself: it stays, as the audit row does."""

    user_id: int = Field(ge=1, le=MAX_USER_ID)
    dry_run: bool = Field(default=False, description="Only count.")


class UserErased(Result):
    """With `dry_run`, what would be: `blanked` then counts all tasks about the person."""

    cancelled: int = Field(
        default=0,
        description="Tasks about the person that waited, and what they submitted; of a dry run without the latter.",
    )
    blanked: int = Field(default=0, description="Tasks about the person whose parameters, results and words are gone.")
    mentions: int = Field(default=0, description="Other tasks in which the person's address was replaced.")
    limits: int = Field(
        default=0,
        description="Tasks that wait or run and whose limit has another key now, because the address was in it. With"
        " `dry_run` they are among `mentions`.",
    )
    mentions_left: int = Field(
        default=0,
        description="Tasks in which the address stands as the end of a longer word, which may be another person's"
        " address: they stay as they are.",
    )
    left: list[UUID] = Field(default=[], description="The first hundred of these.")
    deliveries_left: int = Field(
        default=0,
        description="Ended deliveries of results whose task has left the ledger, without the address: nothing"
        " tells whose they are, and they stay as they are.",
    )
    answers: int = Field(default=0, description="Answers kept for an Idempotency-Key that are blank now.")
    schedules: list[UUID] = Field(
        default=[],
        description="Schedules about the person, which are deleted, and others in which the address is replaced: the"
        " first hundred.",
    )
    schedule_files: list[str] = Field(
        default=[],
        description="Files that declared some of these schedules. Applied again they bring them back: take them out"
        " there.",
    )
    same_address: list[int] = Field(
        default=[], description="Other users with this address. What has it is erased of them, too."
    )
