"""Signals stop API and scheduler in order, or do nothing to them."""

import signal
import time

import httpx
import pytest

from tests.support.fleet import Fleet, wait_for

pytestmark = pytest.mark.e2e

IGNORED = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGRTMIN")


def test_sigquit_stops_an_api_in_order_and_signals_that_are_not_for_it_do_nothing(fleet: Fleet) -> None:
    api = fleet.start_api()
    with httpx.stream("GET", f"http://127.0.0.1:{fleet.port}/health/live", timeout=30.0) as answer:
        for name in IGNORED:
            api.send_signal(getattr(signal, name))
        assert answer.read()
    assert fleet.http.get(f"http://127.0.0.1:{fleet.port}/health/ready").status_code == 200
    api.send_signal(signal.SIGQUIT)
    assert api.wait(20) == 0


def test_sigquit_stops_a_scheduler_in_order_and_signals_that_are_not_for_it_do_nothing(fleet: Fleet) -> None:
    def leaders() -> list[object]:
        return [row.holder for row in fleet.query("SELECT holder FROM leader WHERE expires_at > now()")]

    scheduler = fleet.start_scheduler()
    before = wait_for(leaders, 30, "it to lead")
    for name in IGNORED:
        scheduler.send_signal(getattr(signal, name))
    time.sleep(4)  # longer than its lease lasts
    wait_for(lambda: leaders() == before, 30, "it to lead still")
    assert scheduler.poll() is None
    scheduler.send_signal(signal.SIGQUIT)
    assert scheduler.wait(20) == 0
    assert leaders() == [], "it has resigned"
