"""Users: written by callers under ids of their own, with a profile and statistics that tasks write.

A user belongs to the key that wrote it first. For each `owner` below: the key whose users are meant; None: all of them
(`tree_items.owner_seen`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from ..domain.ids import new_id
from .tables.users import user_activity, user_profiles, users
from .tables.webhooks import webhook_endpoint

# Every reader of JSON takes an integer exactly up to here.
MAX_USER_ID = 2**53 - 1
# For so many days, a task that runs again finds what it has counted.
ACTIVITY_KEPT_DAYS = 30


class NoSuchEndpoint(Exception):
    """There is no webhook endpoint with this id that the owner may use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserData:
    """What callers say of a user."""

    email: str
    name: str
    webhook_endpoint_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    id: int
    email: str
    name: str
    webhook_endpoint_id: UUID | None
    submitted_by: str
    login_count: int
    last_activity: datetime | None
    created_at: datetime
    updated_at: datetime
    profile_id: UUID | None
    profile_created_at: datetime | None


@dataclass(frozen=True, slots=True)
class Put:
    """`changed` names what differs from before; of a new user, nothing."""

    user: User
    is_new: bool
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Activity:
    login_count: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Profile:
    id: UUID
    is_new: bool


def get(conn: Connection, user_id: int, *, owner: str | None = None) -> User | None:
    columns = (
        *users.c,
        user_profiles.c.id.label("profile_id"),
        user_profiles.c.created_at.label("profile_created_at"),
    )
    with_profile = users.outerjoin(user_profiles, user_profiles.c.user_id == users.c.id)
    statement = sa.select(*columns).select_from(with_profile).where(users.c.id == user_id, _belongs_to(owner))
    row = conn.execute(statement).first()
    return None if row is None else User(**row._mapping)


def put(conn: Connection, user_id: int, data: UserData, *, by: str, owner: str | None = None) -> Put | None:
    """Writes the user, in a transaction; None where there is one that is not the owner's. `by`: the key that writes,
    whose it is where it is new. Raises NoSuchEndpoint."""
    given = {"email": data.email, "name": data.name, "webhook_endpoint_id": data.webhook_endpoint_id}
    if data.webhook_endpoint_id is not None:
        _hold_endpoint(conn, data.webhook_endpoint_id, owner)
    new = postgresql.insert(users).values(id=user_id, submitted_by=by, **given).on_conflict_do_nothing()
    is_new = conn.execute(new.returning(users.c.id)).first() is not None
    changed: tuple[str, ...] = ()
    if not is_new:
        before = conn.execute(
            sa.select(users).where(users.c.id == user_id, _belongs_to(owner)).with_for_update(key_share=True)
        ).first()
        if before is None:
            return None
        changed = tuple(name for name, value in given.items() if before._mapping[name] != value)
        if changed:
            conn.execute(sa.update(users).where(users.c.id == user_id).values(**given, updated_at=sa.func.now()))
    user = get(conn, user_id)
    assert user is not None
    return Put(user, is_new, changed)


def count_activity(conn: Connection, user_id: int, task_id: UUID, *, owner: str | None = None) -> Activity | None:
    """One login more, and the time of the last activity, in a transaction; a repeat of the same task changes nothing
    and gets the same answer. None where there is no such user."""
    user = sa.select(users.c.id).where(users.c.id == user_id, _belongs_to(owner)).with_for_update(key_share=True)
    # The lock makes the question and the count one step.
    if conn.execute(user).first() is None:
        return None
    columns = (user_activity.c.login_count, user_activity.c.at)
    found = conn.execute(sa.select(*columns).where(user_activity.c.task_id == task_id)).first()
    if found is None:
        values: dict[str, Any] = {
            "login_count": users.c.login_count + 1,
            "last_activity": sa.func.greatest(users.c.last_activity, sa.func.now()),
        }
        counted = sa.update(users).where(users.c.id == user_id).values(values).returning(users.c.login_count)
        new = {"task_id": task_id, "user_id": user_id, "login_count": conn.execute(counted).scalar_one()}
        found = conn.execute(sa.insert(user_activity).values(new).returning(*columns)).one()
    return Activity(*found)


def create_profile(conn: Connection, user_id: int, task_id: UUID, *, owner: str | None = None) -> Profile | None:
    """The user's profile; it is new for the task that made it, however often that runs. None where there is no such
    user."""
    # Key share: the user cannot be deleted meanwhile, and its statistics can be changed.
    user = (
        sa.select(users.c.id)
        .where(users.c.id == user_id, _belongs_to(owner))
        .with_for_update(read=True, key_share=True)
    )
    if conn.execute(user).first() is None:
        return None
    new = postgresql.insert(user_profiles).values(id=new_id(), user_id=user_id, task_id=task_id)
    conn.execute(new.on_conflict_do_nothing())
    found = conn.execute(sa.select(user_profiles).where(user_profiles.c.user_id == user_id)).one()
    return Profile(found.id, is_new=found.task_id == task_id)


def _hold_endpoint(conn: Connection, endpoint_id: UUID, owner: str | None) -> None:
    """It stays until the end of the transaction."""
    mine = sa.true() if owner is None else webhook_endpoint.c.submitted_by == owner
    chosen = sa.select(webhook_endpoint.c.id).where(webhook_endpoint.c.id == endpoint_id, mine)
    if conn.execute(chosen.with_for_update(read=True, key_share=True)).first() is None:
        raise NoSuchEndpoint


def _belongs_to(owner: str | None) -> sa.ColumnElement[bool]:
    return sa.true() if owner is None else users.c.submitted_by == owner
