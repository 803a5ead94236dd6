"""maintenance.*: what keeps caches, temporary files and the ledger small."""

from __future__ import annotations

from datetime import timedelta

from taskyard import TaskContext, task
from taskyard.domain.errors import SoftTimeLimitExceeded
from taskyard_kits import temporary_files

from . import cache
from .archive import Archiver
from .changes import Changes
from .declarations import ArchiveTasksParams, ChangeTasksParams, ExpiredDataCleaned, TasksArchived, TasksChanged
from .removal import ArchiveRemoval, Removal, old_ids
from .rules import ARCHIVE_RULE, CACHE_RULE, GOES_ON, NOT_ASKED
from .settings import MaintenanceSettings
from .words import ARCHIVE_ERRORS, CACHE_ERRORS, CHANGE_ERRORS


@task(
    "maintenance.cleanup_expired_data",
    queue="low_priority",
    rules=(CACHE_RULE, temporary_files.FINAL),
    errors={**CACHE_ERRORS, **temporary_files.ERRORS},
)
def cleanup_expired_data(*, context: TaskContext) -> ExpiredDataCleaned:
    """Removes temporary files past their age, and entries of caches that would stay for ever."""
    settings: MaintenanceSettings = context.settings
    entries, files = cache.Removal(context), temporary_files.Removal(context)
    try:
        # The cache first: where Redis is away, another attempt counts all files that go.
        entries.remove_lasting(settings)
        files.remove_old(settings)
    except SoftTimeLimitExceeded:
        context.log("There was no time for all of them.", level="warning")
    context.set_attributes({"cleanup.redis_keys": entries.keys, "cleanup.temp_files": files.files})
    return ExpiredDataCleaned(redis_keys_cleaned=entries.keys, temp_files_removed=files.files)


@task(
    "maintenance.archive_tasks",
    queue="low_priority",
    soft_limit=timedelta(minutes=50),
    hard_limit=timedelta(minutes=60),
    rules=(ARCHIVE_RULE,),
    errors=ARCHIVE_ERRORS,
)
def archive_tasks(params: ArchiveTasksParams, *, context: TaskContext) -> TasksArchived:
    """Moves final tasks past their retention from the ledger into compressed files, or removes them."""
    settings: MaintenanceSettings = context.settings
    if params.dry_run:
        return _counted(context, settings)
    removal, archiver = Removal(context, settings.removed), Archiver(context, settings.archived)
    archives = ArchiveRemoval(context, settings.archives_age)
    more = False
    try:
        removal.run()
        archives.run()
        archiver.run()
    except SoftTimeLimitExceeded:
        # What is under way is known to the ledger; the next task goes on with it.
        more = True
    done = archiver.done
    context.set_attributes({"archive.tasks": done.archived, "archive.removed": removal.removed})
    return done.model_copy(
        update={"removed": removal.removed, "archives_deleted": archives.deleted, "more": more or done.more}
    )


@task(
    "maintenance.change_tasks",
    # People wait for it, often because the queues below are full or paused.
    queue="high_priority",
    soft_limit=timedelta(minutes=50),
    hard_limit=timedelta(minutes=60),
    # At a slow rate many hours go by; each attempt takes up where the one before stopped.
    max_attempts=100,
    rules=(NOT_ASKED, GOES_ON),
    errors=CHANGE_ERRORS,
)
def change_tasks(params: ChangeTasksParams, *, context: TaskContext) -> TasksChanged:
    """Cancels, retries, discards or restores all tasks that fit; submitted by POST /operations."""
    return Changes(context, params).run()


def _counted(context: TaskContext, settings: MaintenanceSettings) -> TasksArchived:
    archived = removed = 0
    more = False
    try:
        for _ in old_ids(context, settings.removed):
            removed += 1
        for _ in old_ids(context, settings.archived):
            archived += 1
    except SoftTimeLimitExceeded:
        more = True
    return TasksArchived(archived=archived, removed=removed, more=more)
