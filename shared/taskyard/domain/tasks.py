"""States, events, the transition table, and the outcomes of an attempt.

What moves a task on:

    blocked    the last of a workflow step's needs succeeded      -> queued, or scheduled where it has a delay
    scheduled  its time came (scheduler, `promote`)               -> queued
    queued     a worker claimed it (`claim`)                      -> running
    running    its attempt ended (`finish`), its process died (`lose`), or its worker gave it back
    retrying   the back-off is over (scheduler, `promote`)        -> queued
    All of these but `blocked`: a worker holds a later claim, which PostgreSQL lost (`assert_claims`) -> running
    succeeded, failed and cancelled are final. Only a person's `retry` leads out of the last two, at once (or, for a
               step of a workflow that has to wait for its needs again, to blocked), or `replay` out of failed, when
               its turn comes                               -> scheduled

The table is data that decides: `lifecycle/composer.py` generates each statement's guard and new state from it, and
`lifecycle/consequences.py` says what follows along which edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID


class State(StrEnum):
    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
WAITING = frozenset({State.BLOCKED, State.SCHEDULED, State.QUEUED, State.RETRYING})
LIVE = WAITING | {State.RUNNING}


class Event(StrEnum):
    SUBMIT = "submit"  # a new task that is due
    POSTPONE = "postpone"  # a new task that is due later
    BLOCK = "block"  # a workflow step that waits for its needs: a new one, or one that a person has run again
    UNBLOCK = "unblock"  # the needs of a workflow step are met
    DELAY = "delay"  # the same, and the step is due later
    PROMOTE = "promote"  # the due time has come
    CLAIM = "claim"
    ASSERT = "assert"  # a claim that PostgreSQL lost in a failover and that a child still holds
    HOLD_BACK = "hold_back"  # its queue has got a limit since it was published
    GRANT = "grant"  # its limits have room for it
    PUT_OFF = "put_off"  # no worker here knows the type, or the worker leaves it for now: look again later
    RELEASE = "release"  # given back: it costs the task nothing
    LOSE = "lose"  # the process that ran it died
    SUCCEED = "succeed"
    FAIL = "fail"
    BACK_OFF = "back_off"  # failed, and will be tried again
    REQUEST_CANCEL = "request_cancel"  # it runs: its worker is asked to end it
    CANCEL = "cancel"
    EXPIRE = "expire"  # its whole life is over while it waits; for what runs that is a time limit
    CHANGE = "change"  # a person changes what waits
    RESCHEDULE = "reschedule"  # the same, and a queued task gets another queue or a later time
    RETRY = "retry"  # a person asks for another run
    REPLAY = "replay"  # a person asks for another run of many, one after the other
    DISCARD = "discard"  # a person puts a dead letter away
    RESTORE = "restore"  # a person takes that back


_S, _E = State, Event

# None is where a new task comes from.
Edge = tuple[State | None, Event]

TRANSITIONS: dict[Edge, State] = {
    (None, _E.SUBMIT): _S.QUEUED,
    (None, _E.POSTPONE): _S.SCHEDULED,
    (None, _E.BLOCK): _S.BLOCKED,
    (_S.BLOCKED, _E.UNBLOCK): _S.QUEUED,
    (_S.BLOCKED, _E.DELAY): _S.SCHEDULED,
    (_S.BLOCKED, _E.CANCEL): _S.CANCELLED,
    (_S.BLOCKED, _E.EXPIRE): _S.FAILED,
    (_S.SCHEDULED, _E.PROMOTE): _S.QUEUED,
    (_S.SCHEDULED, _E.CANCEL): _S.CANCELLED,
    (_S.SCHEDULED, _E.EXPIRE): _S.FAILED,
    (_S.QUEUED, _E.CLAIM): _S.RUNNING,
    (_S.QUEUED, _E.HOLD_BACK): _S.QUEUED,
    (_S.QUEUED, _E.GRANT): _S.QUEUED,
    (_S.QUEUED, _E.PUT_OFF): _S.SCHEDULED,
    (_S.QUEUED, _E.CANCEL): _S.CANCELLED,
    (_S.QUEUED, _E.EXPIRE): _S.FAILED,
    (_S.SCHEDULED, _E.ASSERT): _S.RUNNING,
    (_S.QUEUED, _E.ASSERT): _S.RUNNING,
    (_S.RETRYING, _E.ASSERT): _S.RUNNING,
    (_S.RUNNING, _E.ASSERT): _S.RUNNING,  # for PostgreSQL an earlier claim holds it
    (_S.RUNNING, _E.CLAIM): _S.RUNNING,  # the same claim again: its commit's answer got lost
    (_S.RUNNING, _E.REQUEST_CANCEL): _S.RUNNING,
    (_S.RUNNING, _E.RELEASE): _S.QUEUED,
    (_S.RUNNING, _E.LOSE): _S.QUEUED,
    (_S.RUNNING, _E.SUCCEED): _S.SUCCEEDED,
    (_S.RUNNING, _E.FAIL): _S.FAILED,
    (_S.RUNNING, _E.BACK_OFF): _S.RETRYING,
    (_S.RUNNING, _E.CANCEL): _S.CANCELLED,
    (_S.RETRYING, _E.PROMOTE): _S.QUEUED,
    (_S.RETRYING, _E.CANCEL): _S.CANCELLED,
    (_S.RETRYING, _E.EXPIRE): _S.FAILED,
    (_S.BLOCKED, _E.CHANGE): _S.BLOCKED,
    (_S.SCHEDULED, _E.CHANGE): _S.SCHEDULED,
    (_S.QUEUED, _E.CHANGE): _S.QUEUED,
    (_S.RETRYING, _E.CHANGE): _S.RETRYING,
    (_S.QUEUED, _E.RESCHEDULE): _S.SCHEDULED,
    (_S.FAILED, _E.RETRY): _S.QUEUED,
    (_S.CANCELLED, _E.RETRY): _S.QUEUED,
    (_S.FAILED, _E.BLOCK): _S.BLOCKED,
    (_S.CANCELLED, _E.BLOCK): _S.BLOCKED,
    (_S.FAILED, _E.REPLAY): _S.SCHEDULED,
    (_S.CANCELLED, _E.REPLAY): _S.SCHEDULED,
    (_S.FAILED, _E.DISCARD): _S.FAILED,
    (_S.FAILED, _E.RESTORE): _S.FAILED,
}


class FailureKind(StrEnum):
    """Why an attempt did not succeed: the `kind` label of the failure metric."""

    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    CRASH = "crash"
    INVALID = "invalid"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, in words that a caller may see; only `traceback` needs the scope `manage`.

    `message` is in English. `values` are what the words of `code` in other languages need; None: the message is the
    task's own, and there are no other words. `place`: the module and function of the task's package where it arose.
    """

    code: str
    message: str
    type: str
    retryable: bool
    kind: FailureKind = FailureKind.EXCEPTION
    traceback: str | None = None
    values: Mapping[str, Any] | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    result: Any
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    fault: Fault


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Failed, and worth another attempt after `delay` (counted from the moment it is recorded)."""

    fault: Fault
    delay: timedelta


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`forced`: it did not stop within its grace, and its process was ended."""

    message: str = "cancelled while running"
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """Given back unfinished: queued again, and no budget pays for it."""

    cause: str


Outcome = Succeeded | Failed | RetryIn | Cancelled | Released


CELERY_WORDS: dict[State, str] = {
    **dict.fromkeys((State.BLOCKED, State.SCHEDULED, State.QUEUED), "PENDING"),
    State.RUNNING: "STARTED",
    State.RETRYING: "RETRY",
    State.SUCCEEDED: "SUCCESS",
    State.FAILED: "FAILURE",
    State.CANCELLED: "CANCELLED",
}


def celery_word(state: State, *, has_progress: bool) -> str:
    """The state as Celery calls it: a running task that reported progress is in PROGRESS."""
    if state is State.RUNNING and has_progress:
        return "PROGRESS"
    return CELERY_WORDS[state]


# Not frozen, these two: a frozen dataclass costs seven times as much to make, and every task makes several of both.
@dataclass(slots=True, unsafe_hash=True)
class Publication:
    """A queued task as Redis is to know it: `number` grows with each entry to `queued`, so that two
    messages for one task are never taken for each other. `is_first`: it was given back, and goes before the others.
    """

    task_id: UUID
    queue: str
    number: int
    is_first: bool = False

    @property
    def message_id(self) -> str:
        return f"{self.task_id}:{self.number}"


@dataclass(slots=True)
class Change:
    """A change of state, as live events tell it."""

    task_id: UUID
    name: str
    queue: str
    state: State
    attempt: int
    workflow_id: UUID | None = None
