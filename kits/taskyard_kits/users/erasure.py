"""Erases what the ledger holds of a person: walks over it until there is nothing left.

A walk may leave something: the delivery of what a task came to may have been looked at before that task was erased. So
one that found something is followed by another one. A task that runs writes afterwards; it is waited for, and after a
while left to the next attempt. The user goes last, because the address is known from there: an attempt that is cut off
leaves it to the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from taskyard import TaskContext, TaskError
from taskyard.store.persons import LOWEST, NAMED, Found, Person

from .declarations import UserErased

# Tasks that were asked to end do so at once, or are ended after ten seconds. Those that only mention the person go on.
_PAUSE_SECONDS, _PAUSES = 5.0, 12
# Tasks of one transaction: with parameters, results and timelines it reads and writes some MB of each at most.
_AT_ONCE = 50
# Of one attempt, while others go on submitting what mentions the person.
_WALKS = 20


class Erasure:
    """For one attempt; `done` is what it did so far."""

    def __init__(self, context: TaskContext, user_id: int, *, dry_run: bool) -> None:
        self._context = context
        self._user_id = user_id
        self._dry_run = dry_run
        self.done = UserErased()

    def run(self) -> None:
        """Raises TaskError where tasks that are about the person, or mention the address, still run."""
        with self._context.shield:
            person = self._context.upkeep.person(self._user_id)
            standing = self._context.upkeep.standing_of_person(person)
        self.done = UserErased(schedules=standing.schedules, same_address=standing.same_address)
        still_run = False
        if self._dry_run:
            for found in self._found(person):
                with self._context.shield:
                    self._add(cancelled=self._context.upkeep.would_cancel(found))
                self._add(blanked=len(found.about), mentions=len(found.mentioning))
        else:
            # First: they would go on submitting tasks about the person.
            with self._context.shield:
                files = self._context.upkeep.erase_schedules(person, by=self._context.task_id)
            self.done = self.done.model_copy(update={"schedule_files": files})
            still_run = self._erase_all(person)
        self._blank_answers(person)
        if still_run:
            raise TaskError("tasks_still_run")
        if not self._dry_run:
            with self._context.shield:
                self._context.upkeep.delete_user(person)

    def _erase_all(self, person: Person) -> bool:
        """Whether something is left, in tasks that run."""
        for _ in range(_WALKS):
            is_clean, running = True, list[UUID]()
            with self._context.shield:
                self._add(limits=self._context.upkeep.rename_limits(person))
            for found in self._found(person):
                is_clean = is_clean and not (found.about or found.mentioning)
                running += found.running
                self._erase(person, found)
            if self._erase_when_ended(person, running):
                return True
            if is_clean:
                return False
        return True

    def _erase_when_ended(self, person: Person, running: Sequence[UUID]) -> bool:
        """Whether some of them still run."""
        for _ in range(_PAUSES):
            if not running:
                break
            time.sleep(_PAUSE_SECONDS)
            left = list[UUID]()
            for start in range(0, len(running), _AT_ONCE):
                self._context.check_cancelled()
                with self._context.shield:
                    found = self._context.upkeep.look_again_for_person(person, running[start : start + _AT_ONCE])
                self._erase(person, found)
                left += found.running
            running = left
        return bool(running)

    def _found(self, person: Person) -> Iterator[Found]:
        """What a walk finds. It counts anew what is left."""
        after: UUID | None = LOWEST
        self.done = self.done.model_copy(update={"mentions_left": 0, "deliveries_left": 0, "left": []})
        while after is not None:
            self._context.check_cancelled()
            with self._context.shield:
                found = self._context.upkeep.look_for_person(person, after)
            found = _without(found, self._context.task_id)
            self._add(mentions_left=len(found.left), deliveries_left=len(found.untold))
            named = [*self.done.left, *found.left][:NAMED]
            self.done = self.done.model_copy(update={"left": named})
            yield found
            after = found.last

    def _erase(self, person: Person, found: Found) -> None:
        for start in range(0, max(len(found.about), len(found.mentioning)), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            part = replace(found, about=found.about[some], mentioning=found.mentioning[some])
            self._context.check_cancelled()
            with self._context.shield:
                erased = self._context.upkeep.erase(person, part, by=self._context.task_id)
            self._add(cancelled=erased.cancelled, blanked=erased.blanked, mentions=erased.mentions)
            erased_so_far = self.done.blanked + self.done.mentions
            self._context.progress(erased_so_far, None, "Erasing what tasks hold of the person")

    def _blank_answers(self, person: Person) -> None:
        after: tuple[UUID, str] | None = (LOWEST, "")
        while after is not None:
            self._context.check_cancelled()
            with self._context.shield:
                count, after = self._context.upkeep.blank_answers(person, after, dry_run=self._dry_run)
            self._add(answers=count)

    def _add(self, **more: int) -> None:
        self.done = self.done.model_copy(update={name: getattr(self.done, name) + n for name, n in more.items()})


def _without(found: Found, own: UUID) -> Found:
    """Its own task is not waited for."""

    def others(ids: Sequence[UUID]) -> list[UUID]:
        return [one for one in ids if one != own]

    about, mentioning, running = others(found.about), others(found.mentioning), others(found.running)
    return replace(found, about=about, mentioning=mentioning, running=running)
