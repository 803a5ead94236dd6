"""`taskyard-worker drain --wait` and its like: when a worker is believed lost, and how long they wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from taskyard.domain.errors import LedgerUnavailable
from taskyard_worker import control_cli
from taskyard_worker.control_cli import Row, _wait, _Wish

WORKER = UUID(int=1)
LEASE = timedelta(seconds=0.4)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_cli, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(control_cli, "_PROMPT_SECONDS", 0.2)


def wait(*looks: Callable[[], str] | str, seconds: float = 20.0, lost_at: datetime | None = None) -> tuple[str, int]:
    """The state that is believed in the end, and after how many looks; the last of `looks` is repeated."""
    made = 0

    def look() -> list[Row]:
        nonlocal made
        made += 1
        said = looks[min(made, len(looks)) - 1]
        return [{"id": WORKER, "state": said if isinstance(said, str) else said(), "lost_at": lost_at}]

    verb: Any = None
    wish = _Wish(verb, lambda row: row["state"] == "stopped", in_vain={"lost"})
    [row] = _wait(wish, look, seconds, LEASE)
    return row["state"], made


def hangs() -> str:
    time.sleep(0.3)
    return "lost"


def fails() -> str:
    raise LedgerUnavailable("away")


@pytest.mark.parametrize("outage", [hangs, fails])
def test_a_heartbeat_that_grew_old_while_postgresql_hung_is_no_loss(outage: Callable[[], str]) -> None:
    assert wait("draining", outage, "lost", "lost", "stopped") == ("stopped", 5)


def test_hung_looks_one_after_the_other_are_no_loss() -> None:
    assert wait("lost", hangs, hangs, hangs, "stopped") == ("stopped", 5)


def test_a_worker_is_lost_where_the_leader_says_so() -> None:
    assert wait("lost", lost_at=datetime.now(UTC)) == ("lost", 1)


def test_a_worker_that_stays_silent_while_postgresql_answers_is_lost() -> None:
    state, looks = wait("lost")
    assert state == "lost"
    assert looks > 2


def test_a_look_that_hangs_does_not_overrun_the_time_that_was_given() -> None:
    began = time.monotonic()

    def never() -> str:
        time.sleep(30)
        return "lost"

    with pytest.raises(LedgerUnavailable):
        wait("draining", never, seconds=0.5)
    assert time.monotonic() - began < 10
