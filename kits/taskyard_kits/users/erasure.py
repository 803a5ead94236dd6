"""Erases what the ledger holds of a person: walks over it until there is nothing left.

A walk may leave something: a task that runs writes afterwards, and the delivery of what a task came to may have been
looked at before that task was erased. So one that found something is followed by another one. The user goes last,
because the address is known from there: an attempt that is cut off leaves it to the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import UUID

from taskyard import TaskContext, TaskError
from taskyard.domain.errors import SoftTimeLimitExceeded
from taskyard.store.persons import LOWEST, Found, Person

from .declarations import UserErased

# Most tasks end at once when they are asked to; the others are ended after ten seconds.
_PAUSE_SECONDS = 5.0


class Erasure:
    """For one attempt; `done` is what it did so far."""

    def __init__(self, context: TaskContext, user_id: int, *, dry_run: bool) -> None:
        self._context = context
        self._user_id = user_id
        self._dry_run = dry_run
        self.done = UserErased()

    def run(self) -> None:
        """Raises TaskError where tasks of the person still run at the limit."""
        with self._context.shield:
            person = self._context.upkeep.person(self._user_id)
        if self._dry_run:
            for found in self._found(person):
                self._add(blanked=len(found.about), mentions=len(found.mentioning))
        else:
            self._erase_all(person)
        self._blank_answers(person)
        if not self._dry_run:
            with self._context.shield:
                self._context.upkeep.delete_user(person)

    def _erase_all(self, person: Person) -> None:
        run = False
        try:
            while True:
                is_clean, run = True, False
                for found in self._found(person):
                    if found.about or found.mentioning:
                        is_clean, run = False, run or bool(found.running)
                        self._erase(person, found)
                if is_clean:
                    return
                if run:
                    time.sleep(_PAUSE_SECONDS)
        except SoftTimeLimitExceeded:
            if run:
                raise TaskError("tasks_still_run") from None
            raise

    def _found(self, person: Person) -> Iterator[Found]:
        after: UUID | None = LOWEST
        while after is not None:
            self._context.check_cancelled()
            with self._context.shield:
                found = self._context.upkeep.look_for_person(person, after)
            yield found
            after = found.last

    def _erase(self, person: Person, found: Found) -> None:
        with self._context.shield:
            erased = self._context.upkeep.erase(person, found, by=self._context.task_id)
        self._add(cancelled=erased.cancelled, blanked=erased.blanked, mentions=erased.mentions)
        self._context.progress(self.done.blanked + self.done.mentions, None, "Erasing what tasks hold of the person")

    def _blank_answers(self, person: Person) -> None:
        after: tuple[UUID, str] | None = (LOWEST, "")
        while after is not None:
            self._context.check_cancelled()
            with self._context.shield:
                count, after = self._context.upkeep.blank_answers(person, after, dry_run=self._dry_run)
            self._add(answers=count)

    def _add(self, **more: int) -> None:
        self.done = self.done.model_copy(update={name: getattr(self.done, name) + n for name, n in more.items()})
