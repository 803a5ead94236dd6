"""What maintenance tasks do in the ledger: `context.upkeep`.

The role of `context.db()` cannot touch the ledger. These verbs can, and each keeps its own conditions: only final tasks
that a file holds go, only files that no waiting task names (docs/decisions/0028-archives-of-tasks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row

from ..domain.errors import TaskError
from ..failpoints import failpoint
from ..lifecycle import archive as archiving
from ..lifecycle import operations
from ..lifecycle.archive import Archived
from ..lifecycle.committed import Announcer, commit
from ..lifecycle.erase import Erased, erase, rename_limits, would_cancel
from ..lifecycle.operations import Batch, Kind, Operation
from ..store import old_files, old_tasks, personal_schedules, persons, task_archives, tree_items
from ..store.audit import Actor
from ..store.old_tasks import Ages, Look
from ..store.persons import Found, Person, Standing
from ..store.task_archives import Span, TaskArchive
from ..store.tree_items import TreeItem

# Runs a verb in a transaction.
Run = Callable[[Callable[[Connection], Any]], Any]


class Upkeep:
    """`run` runs a verb in a transaction, and `announcer` tells what of it others wait for. `life` is that of a task
    that is run again, from its due time to its end. The methods wait for
    PostgreSQL and raise LedgerUnavailable where it does not answer; call them within `context.shield`, so that no
    interrupt cuts a transaction in two."""

    def __init__(self, run: Run, announcer: Announcer, *, life: timedelta) -> None:
        self._run = run
        self._announcer = announcer
        self._life = life

    # Archives of tasks

    def begin_archive(self, task_id: UUID, claim: UUID) -> TaskArchive | None:
        """The open archive, to go on with, or a new one; None where another running task has it."""
        found: TaskArchive | None = self._run(partial(task_archives.begin, task_id=task_id, claim=claim))
        return found

    def look_for_old_tasks(self, ages: Ages, after: UUID, before: UUID) -> Look:
        found: Look = self._run(partial(old_tasks.look, ages=ages, after=after, before=before))
        return found

    def tasks(self, ids: Sequence[UUID]) -> Sequence[Row[Any]]:
        found: Sequence[Row[Any]] = self._run(partial(old_tasks.tasks, ids=ids))
        return found

    def belongings(self, kind: str, ids: Sequence[UUID], after: tuple[UUID, int] | None, limit: int) -> Sequence[Any]:
        found: Sequence[Any] = self._run(partial(old_tasks.belongings, kind=kind, ids=ids, after=after, limit=limit))
        return found

    def store_archive(self, archive: TaskArchive, item: TreeItem, span: Span) -> None:
        """Raises Fenced, as the next three do."""
        failpoint("archive.before")
        self._run(partial(task_archives.stored, archive=archive, item=item, span=span))
        failpoint("archive.after")

    def file_of(self, archive: TaskArchive) -> TreeItem | None:
        """None where somebody has deleted it."""
        if archive.item_id is None:
            return None
        found: dict[UUID, TreeItem] = self._run(partial(tree_items.get, ids=[archive.item_id]))
        return found.get(archive.item_id)

    def delete_archived(self, archive: TaskArchive, tasks: Sequence[Archived]) -> int:
        """Raises FileDeleted where the archive's item is gone."""
        gone: int = self._run(partial(archiving.delete_archived, archive=archive, tasks=tasks))
        return gone

    def remove_old(self, ids: Sequence[UUID], ages: Ages) -> int:
        """Deletes tasks that no file holds."""
        gone: int = self._run(partial(archiving.remove_old, ids=ids, ages=ages))
        return gone

    def close_archive(self, archive: TaskArchive) -> None:
        self._run(partial(task_archives.close, archive=archive))

    def abandon_archive(self, archive: TaskArchive) -> None:
        self._run(partial(task_archives.abandon, archive=archive))

    # Old files

    def old_files(self, age: timedelta, *, after: UUID | None, owner: str | None, limit: int) -> list[TreeItem]:
        found: list[TreeItem] = self._run(partial(old_files.page, age=age, after=after, owner=owner, limit=limit))
        return found

    def named_by_tasks(self, ids: Collection[UUID]) -> set[UUID]:
        found: set[UUID] = self._run(partial(old_files.named_by_tasks, ids=ids))
        return found

    def delete_files(self, ids: Collection[UUID], age: timedelta, *, by: UUID) -> list[TreeItem]:
        """Those older than `age` that no waiting or running task names. The audit log names `by`, a task."""
        gone: list[TreeItem] = self._run(partial(old_files.delete, ids=ids, age=age, by=Actor(f"task:{by}")))
        return gone

    def delete_archives(self, age: timedelta, *, by: UUID, limit: int) -> list[TreeItem]:
        delete = partial(old_files.delete_archives, age=age, by=Actor(f"task:{by}"), limit=limit)
        gone: list[TreeItem] = self._run(delete)
        return gone

    # Changes of many tasks

    def operation(self, task_id: UUID, kind: Kind, conditions: dict[str, Any]) -> Operation | None:
        """None where nobody has asked this task to make it."""
        found: Operation | None = self._run(
            partial(operations.asked, task_id=task_id, kind=kind, conditions=conditions)
        )
        return found

    def count_for(self, operation: Operation) -> int:
        found: int = self._run(partial(operations.count, wanted=operation.wanted))
        return found

    def change_tasks(self, operation: Operation, *, behind: UUID | None, per_second: float | None, limit: int) -> Batch:
        verb = partial(
            operations.change,
            operation=operation,
            behind=behind,
            life=self._life,
            per_second=per_second,
            limit=limit,
        )
        done: Batch = commit(self._run, verb, self._announcer)
        return done

    # What is kept of a person

    def is_erasure_asked(self, user_id: int, task_id: UUID, *, dry_run: bool) -> bool:
        found: bool = self._run(partial(persons.is_asked, user_id=user_id, task_id=task_id, dry_run=dry_run))
        return found

    def person(self, user_id: int) -> Person:
        found: Person = self._run(partial(persons.person, user_id=user_id))
        return found

    def look_for_person(self, person: Person, after: UUID) -> Found:
        found: Found = self._run(partial(persons.look, of=person, after=after))
        return found

    def look_again_for_person(self, person: Person, ids: Sequence[UUID]) -> Found:
        found: Found = self._run(partial(persons.look_again, of=person, ids=ids))
        return found

    def standing_of_person(self, person: Person) -> Standing:
        found: Standing = self._run(partial(persons.standing, of=person))
        return found

    def erase_schedules(self, person: Person, *, by: UUID) -> list[str]:
        files: list[str] = self._run(partial(personal_schedules.erase, of=person, by=Actor(f"task:{by}")))
        return files

    def rename_limits(self, person: Person) -> int:
        renamed: int = commit(self._run, partial(rename_limits, of=person), self._announcer)
        return renamed

    def erase(self, person: Person, found: Found, *, by: UUID) -> Erased:
        verb = partial(erase, of=person, found=found, by=Actor(f"task:{by}"))
        done: Erased = commit(self._run, verb, self._announcer)
        return done

    def would_cancel(self, found: Found) -> int:
        count: int = self._run(partial(would_cancel, found=found))
        return count

    def blank_answers(
        self, person: Person, after: tuple[UUID, str], *, dry_run: bool
    ) -> tuple[int, tuple[UUID, str] | None]:
        found: tuple[int, tuple[UUID, str] | None] = self._run(
            partial(persons.blank_answers, of=person, after=after, dry_run=dry_run)
        )
        return found

    def delete_user(self, person: Person) -> None:
        self._run(partial(persons.delete_user, of=person))


class NoUpkeep:
    """In place of it, where there is no ledger."""

    def __getattr__(self, name: str) -> Any:
        raise TaskError("no_database", "This task needs PostgreSQL, and this run has none.", retryable=False)


NO_UPKEEP = NoUpkeep()
