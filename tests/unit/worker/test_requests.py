"""Requests to the supervisor's main thread wake it, and none is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait
from uuid import uuid4

import pytest
import structlog.testing

from taskyard.domain.processes import ProcessRange
from taskyard.lifecycle.workers import Asked
from taskyard_worker.supervisor.requests import Requests


@pytest.fixture
def requests() -> Iterator[Requests]:
    made = Requests()
    yield made
    made.close()


def is_awake(requests: Requests, seconds: float = 0.0) -> bool:
    awake = bool(wait([requests.wake_up], seconds))
    requests.clear_wake_up()
    return awake


def test_each_kind_of_request_wakes_the_main_thread_once(requests: Requests) -> None:
    assert not is_awake(requests)
    requests.give_up()
    assert is_awake(requests)
    requests.cancel([(uuid4(), uuid4())])
    assert is_awake(requests)
    requests.run_apart(2)
    assert is_awake(requests)
    assert (requests.take_apart(), requests.take_apart()) == (2, 0), "once"
    requests.run_apart(0)
    assert not is_awake(requests), "nothing waits"


def test_a_main_thread_that_waits_is_woken_by_another_thread(requests: Requests) -> None:
    threading.Timer(0.05, requests.give_up).start()
    assert is_awake(requests, 10.0)


def test_each_cancellation_is_taken_once(requests: Requests) -> None:
    keys = [(uuid4(), uuid4()) for _ in range(3)]
    requests.cancel(keys[:2])
    requests.cancel(keys[2:])
    assert requests.take_cancellations() == keys
    assert requests.take_cancellations() == []


def test_what_children_are_to_be_told_is_taken_once_in_its_order_and_wakes_the_main_thread(requests: Requests) -> None:
    requests.pass_on("recall", ["default"])
    requests.pass_on("resume", ["low_priority", "default"])
    assert is_awake(requests)
    assert requests.take_passed_on() == [("recall", ["default"]), ("resume", ["low_priority", "default"])]
    assert requests.take_passed_on() == []


def test_being_given_up_is_taken_once(requests: Requests) -> None:
    requests.give_up()
    assert [requests.take_given_up() for _ in range(2)] == [True, False]


def test_more_requests_than_the_socket_holds_block_nothing(requests: Requests) -> None:
    for _ in range(100_000):
        requests.give_up()
    assert is_awake(requests)
    assert not is_awake(requests)


def test_being_told_to_replace_the_children_is_taken_once(requests: Requests) -> None:
    for _ in range(2):
        requests.reload()
    assert [requests.take_reload() for _ in range(2)] == [True, False]


def test_what_is_asked_of_the_worker_wakes_the_main_thread_and_is_taken_once(requests: Requests) -> None:
    wanted = [Asked(processes=ProcessRange(1, 2)), Asked(processes=ProcessRange(4, 4))]
    for asked in wanted:
        requests.ask(asked)
    assert is_awake(requests)
    assert [requests.take_asked() for _ in range(2)] == [wanted, []]
    assert not requests.is_stopping


def test_a_worker_that_is_asked_to_drain_stops_without_a_signal_and_has_nothing_else_to_do(requests: Requests) -> None:
    for _ in range(2):
        requests.ask(Asked(drain=True, processes=ProcessRange(1, 2)))
    assert is_awake(requests)
    assert (requests.is_stopping, requests.stop_signals, requests.take_asked()) == (True, 0, [])


def test_an_ignored_signal_is_told_once(requests: Requests) -> None:
    with structlog.testing.capture_logs() as said:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1, 40):
            requests.ignore(number, None)
            requests.tell_ignored()
    assert [line["signal"] for line in said] == ["SIGUSR1", "SIGUSR2", "40"]
    assert not requests.is_stopping


def test_every_signal_to_stop_counts(requests: Requests) -> None:
    counted = [(requests.is_stopping, requests.stop_signals)]
    for _ in range(2):
        requests.stop()
        counted.append((requests.is_stopping, requests.stop_signals))
    assert counted == [(False, 0), (True, 1), (True, 2)]
