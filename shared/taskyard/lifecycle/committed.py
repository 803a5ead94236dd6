"""Committed: what a verb did, and all that has to be announced of it. `commit` is the one way to do both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from ..domain.tasks import Change, Event, Publication, State
from ..failpoints import failpoint

A = TypeVar("A")
B = TypeVar("B")

# Looked up once: an attribute of an enum is no cheap thing in Python 3.11.
STATES = {str(state): state for state in State}
_QUEUED = str(State.QUEUED)
_DUE_LATER = (str(State.SCHEDULED), str(State.RETRYING))
_IN_CONSEQUENCE = (str(Event.UNBLOCK), str(Event.DELAY))
_REQUEST_CANCEL, _RELEASE, _CHANGE = str(Event.REQUEST_CANCEL), str(Event.RELEASE), str(Event.CHANGE)


# Not frozen: a frozen dataclass sets each field through `object.__setattr__`, at three times the price.
@dataclass(slots=True)
class Committed(Generic[A]):
    """`answer` is for the verb's caller, the rest is announced: `changes` to live events, `publications` (covered by
    the outbox rows `outbox_ids`) to the workers, and `withdrawn` ones are taken from them; `cancels` (running tasks
    that are asked to end), `resumed` and `recalled` (queues) and `workers` (of which something is asked) to their
    supervisors. `wakes_scheduler`: something is due later, perhaps sooner than the scheduler looks.
    """

    answer: A
    changes: list[Change] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    outbox_ids: list[int] = field(default_factory=list)
    cancels: list[UUID] = field(default_factory=list)
    wakes_scheduler: bool = False
    resumed: list[str] = field(default_factory=list)
    workers: list[UUID] = field(default_factory=list)
    recalled: list[str] = field(default_factory=list)
    withdrawn: list[Publication] = field(default_factory=list)

    @property
    def is_silent(self) -> bool:
        tasks = self.changes or self.publications or self.outbox_ids or self.cancels or self.withdrawn
        return not (tasks or self.wakes_scheduler or self.resumed or self.recalled or self.workers)

    @classmethod
    def of_rows(cls, rows: Sequence[Any], answer: A) -> Committed[A]:
        """What the rows tell that a composed statement answered."""
        done = cls(answer)
        outbox_ids: dict[int, None] = {}
        for row in rows:
            task_id, name, queue, state, attempt, publication, workflow_id, event, row_outbox_id, wakes = row[:10]
            done.changes.append(Change(task_id, name, queue, STATES[state], attempt, workflow_id))
            if state == _QUEUED:
                if not wakes and event != _CHANGE:  # else it waits for its limit, or is published already
                    done.publications.append(Publication(task_id, queue, publication, event == _RELEASE))
                    if row_outbox_id is not None:
                        outbox_ids[row_outbox_id] = None
            elif state in _DUE_LATER:
                done.wakes_scheduler = True
            elif event == _REQUEST_CANCEL:
                done.cancels.append(task_id)
            if wakes:  # its delivery is due now, its workflow has steps to cancel, or a limit has room again
                done.wakes_scheduler = True
        done.outbox_ids += outbox_ids
        return done

    @staticmethod
    def of_moves(rows: Sequence[Any]) -> Committed[list[Change]]:
        """The same, for verbs that answer which of their tasks moved: not those that moved in consequence."""
        done = Committed.of_rows(rows, None)
        return done.answering([c for c, row in zip(done.changes, rows, strict=True) if row[7] not in _IN_CONSEQUENCE])

    def answering(self, answer: B) -> Committed[B]:
        """The same, with another answer."""
        told = (self.changes, self.publications, self.outbox_ids, self.cancels, self.wakes_scheduler)
        return Committed(answer, *told, self.resumed, self.workers, self.recalled, self.withdrawn)


def together(parts: Iterable[Committed[Any]], answer: A) -> Committed[A]:
    """What several verbs of one transaction did, as one."""
    done = Committed(answer)
    for part in parts:
        done.changes += part.changes
        done.publications += part.publications
        done.outbox_ids += part.outbox_ids
        done.cancels += part.cancels
        done.workers += part.workers
        done.wakes_scheduler = done.wakes_scheduler or part.wakes_scheduler
        done.resumed += part.resumed
        done.recalled += part.recalled
        done.withdrawn += part.withdrawn
    return done


class Announcer(Protocol):
    def dispatch(self, committed: Committed[Any]) -> None:
        """Takes over what has to be announced; never waits."""
        ...


def commit(
    run: Callable[[Callable[[Connection], Committed[A]]], Committed[A]],
    verb: Callable[[Connection], Committed[A]],
    announcer: Announcer,
    *,
    name: str = "",
) -> A:
    """Runs the verb in a transaction (`run`: of `store.ledger`, or the leader's) and announces what was committed.
    `name` is that of the failpoints before and after the commit, where it has any.

    Raises what `run` raises; then nothing is announced.
    """
    if name:
        failpoint(f"{name}.before")
    done = run(verb)
    if not done.is_silent:
        if name:
            failpoint(f"{name}.after")
        announcer.dispatch(done)
    return done.answer
