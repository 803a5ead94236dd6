"""users.*: tasks that may run again: they find what they did before, and do it once."""

from __future__ import annotations

from datetime import timedelta

from taskyard import TaskContext, TaskError, task
from taskyard.store import users
from taskyard.store.tree_items import owner_seen

from .declarations import EraseParams, ProfileCreated, StatsUpdated, UserErased, UserParams
from .erasure import Erasure
from .rules import NOT_ASKED, STILL_RUN, UNKNOWN
from .words import ERASURE_ERRORS, ERRORS


@task("users.update_stats", rules=(UNKNOWN,), errors=ERRORS)
def update_stats(params: UserParams, *, context: TaskContext) -> StatsUpdated:
    """Counts a login of a user, and notes the time."""
    with context.db() as conn:
        counted = users.count_activity(conn, params.user_id, context.task_id, owner=_owner(context))
    if counted is None:
        raise _not_found()
    return StatsUpdated(
        user_id=params.user_id, login_count=counted.login_count, last_activity=counted.at, updated_at=counted.at
    )


@task("users.create_profile", rules=(UNKNOWN,), errors=ERRORS)
def create_profile(params: UserParams, *, context: TaskContext) -> ProfileCreated:
    """Makes the profile of a user, where there is none yet."""
    with context.db() as conn:
        profile = users.create_profile(conn, params.user_id, context.task_id, owner=_owner(context))
    if profile is None:
        raise _not_found()
    return ProfileCreated(status="created" if profile.is_new else "already_exists", profile_id=profile.id)


@task(
    "users.erase",
    soft_limit=timedelta(minutes=50),
    hard_limit=timedelta(minutes=60),
    # Within them, a task that mentions the person and runs for an hour comes to its end.
    max_attempts=12,
    rules=(NOT_ASKED, STILL_RUN),
    errors=ERASURE_ERRORS,
)
def erase(params: EraseParams, *, context: TaskContext) -> UserErased:
    """Erases what is known of a user; submitted by DELETE /users/{id}."""
    with context.shield:
        is_asked = context.upkeep.is_erasure_asked(params.user_id, context.task_id, dry_run=params.dry_run)
    if not is_asked:
        raise TaskError("erasure_not_asked", retryable=False)
    erasure = Erasure(context, params.user_id, dry_run=params.dry_run)
    erasure.run()
    return erasure.done


def _owner(context: TaskContext) -> str | None:
    return owner_seen(context.submitted_by, context.allowed_queues)


def _not_found() -> TaskError:
    return TaskError("user_not_found", retryable=False)
