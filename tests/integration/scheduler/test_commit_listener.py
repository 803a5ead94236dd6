"""How the relay of applications waits for commits: whatever is said to it, or is not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.store import ledger
from taskyard.store.submit_roles import CHANNEL
from taskyard_scheduler.application_relay import LOOP, ApplicationLoop, ApplicationRelay, CommitListener
from taskyard_scheduler.loop_watch import LoopWatch
from tests.support.applications import application, submit
from tests.support.scheduling import LeaderParts, Scheduler
from tests.support.specs import register_kits

ECHO = "diagnostics.echo"


class Counting(ApplicationRelay):
    turns = 0

    def turn(self) -> int:
        self.turns += 1
        return super().turn()


def test_a_flood_of_notifications_is_answered_by_a_hundred_looks_a_second(
    leader: LeaderParts, engine: Engine, database_url: str
) -> None:
    """PostgreSQL lets every role notify every channel."""
    relay = Counting(leader.leadership, leader.publisher, leader.database, leader.metrics)
    loop = ApplicationLoop(relay, leader.leadership, engine, LoopWatch((LOOP,)), leader.dependencies)
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as flooding:
        loop.start()
        try:
            until = time.monotonic() + 2
            while time.monotonic() < until:
                flooding.execute(f"NOTIFY {CHANNEL}".encode())
        finally:
            loop.stop()
    assert relay.turns < 250


def test_a_pooler_that_takes_listen_and_passes_nothing_on_is_a_wait_of_its_time(
    new_database: Callable[[], str], database_url: str
) -> None:
    """As pgbouncer; here another database of the same server, whose notifications are its own."""
    elsewhere = ledger.make_engine(new_database())
    listener = CommitListener(elsewhere, threading.Event())
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as conn:
        listener.wait(0)
        conn.execute(f"NOTIFY {CHANNEL}".encode())
        began = time.monotonic()
        listener.wait(0.3)
        assert 0.25 < time.monotonic() - began < 20
    listener.close()
    elsewhere.dispose()


@pytest.mark.long
def test_a_server_for_listen_that_says_nothing_delays_commits_by_seconds_only(
    schedulers: Callable[..., Scheduler], engine: Engine, database_url: str
) -> None:
    register_kits(engine)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        application(engine, database_url) as app,
        psycopg.connect(app) as conn,
    ):
        port = silent.getsockname()[1]
        scheduler = schedulers("one", TASKYARD_LISTEN_URL=f"postgresql://x@127.0.0.1:{port}/x")
        while not scheduler.said("leading"):
            time.sleep(0.05)
        took = [_seconds_to_relay(conn, engine) for _ in range(3)]
    assert max(took) < 4
    assert len(scheduler.said("commits_unheard")) == 1


def _seconds_to_relay(conn: psycopg.Connection[Any], engine: Engine) -> float:
    submit(conn, ECHO)
    conn.commit()
    began = time.monotonic()
    with engine.connect() as look:
        while look.execute(sa.text("SELECT count(*) FROM application_outbox")).scalar_one():
            assert time.monotonic() - began < 60
            time.sleep(0.02)
    return time.monotonic() - began
