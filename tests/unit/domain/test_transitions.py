"""The transition table, over the full product of states and events."""

from __future__ import annotations

import itertools

import pytest

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import (
    CELERY_WORDS,
    FINAL,
    LIVE,
    TRANSITIONS,
    WAITING,
    Event,
    Publication,
    State,
    celery_word,
)

PRODUCT = list(itertools.product(State, Event))


@pytest.mark.parametrize(("state", "event"), [pair for pair in PRODUCT if pair[0] in FINAL])
def test_final_is_final_but_for_a_persons_retry(state: State, event: Event) -> None:
    ways_out = {
        (State.FAILED, Event.RETRY): State.QUEUED,
        (State.CANCELLED, Event.RETRY): State.QUEUED,
        (State.FAILED, Event.REPLAY): State.SCHEDULED,
        (State.CANCELLED, Event.REPLAY): State.SCHEDULED,
        # A step of a workflow that runs again, and whose needs do.
        (State.FAILED, Event.BLOCK): State.BLOCKED,
        (State.CANCELLED, Event.BLOCK): State.BLOCKED,
    }
    # Discarding a dead letter leaves its state.
    to = TRANSITIONS.get((state, event))
    assert (None if to is state else to) is ways_out.get((state, event))


def test_every_state_is_reached_by_an_event() -> None:
    assert set(TRANSITIONS.values()) == set(State)


def test_from_every_live_state_every_end_can_be_reached() -> None:
    def reachable(start: State) -> set[State]:
        found, waiting = {start}, [start]
        while waiting:
            state = waiting.pop()
            new = {to for (at, _), to in TRANSITIONS.items() if at is state} - found
            found |= new
            waiting += new
        return found

    for state in LIVE:
        assert reachable(state) >= FINAL


def test_every_event_means_something_somewhere() -> None:
    assert {event for _, event in TRANSITIONS} == set(Event)


def test_whatever_waits_can_be_cancelled_and_can_expire() -> None:
    assert {state for state, event in TRANSITIONS if event is Event.EXPIRE} == WAITING
    assert {state for state, event in TRANSITIONS if event is Event.CANCEL} == LIVE


def test_the_groups_of_states_part_them_all() -> None:
    assert WAITING | {State.RUNNING} == LIVE
    assert set(State) == LIVE | FINAL
    assert not LIVE & FINAL


@pytest.mark.parametrize("state", list(State))
def test_celery_has_a_word_for_every_state(state: State) -> None:
    assert celery_word(state, has_progress=False) == CELERY_WORDS[state]
    expected = "PROGRESS" if state is State.RUNNING else CELERY_WORDS[state]
    assert celery_word(state, has_progress=True) == expected


def test_two_publications_of_a_task_never_share_a_message_id() -> None:
    task_id = new_id()
    assert Publication(task_id, "default", 1).message_id == f"{task_id}:1"
    assert Publication(task_id, "default", 2).message_id == f"{task_id}:2"
