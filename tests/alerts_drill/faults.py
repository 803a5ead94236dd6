"""The faults, as they happen in production. Each is a block: it is there inside of it, and mended after it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.support.fleet import wait_for
from tests.support.schedules import leader_of

from .load import HEAVY_QUEUE, more_tasks
from .stack import HEAVY, Stack

_SECONDS_OF_A_SLOW_SERVER = 0.15  # more for each packet, in each direction


@dataclass(frozen=True, slots=True)
class Fault:
    """`expected`: the alert that has to fire; None where none may."""

    name: str
    expected: str | None
    what: str
    done_to: Callable[[Stack], AbstractContextManager[None]]


@contextmanager
def _no_worker(stack: Stack) -> Iterator[None]:
    stack.stop("worker-geo")
    with more_tasks(stack.fleet, {"name": "diagnostics.echo", "params": {"value": 1}, "queue": HEAVY_QUEUE}, every=5):
        yield
    stack.start("worker-geo")


@contextmanager
def _always_failing(stack: Stack) -> Iterator[None]:
    with more_tasks(stack.fleet, {"name": "diagnostics.fail", "params": {"times": 99, "kind": "permanent"}}, every=5):
        yield


@contextmanager
def _growing_queue(stack: Stack) -> Iterator[None]:
    """Three seconds of work a second, for a worker with one thread."""
    body = {"name": "diagnostics.sleep", "params": {"seconds": 1.0}, "queue": HEAVY_QUEUE}
    with more_tasks(stack.fleet, body, every=1 / 3):
        yield
    stack.fleet.start("taskyard-worker", "run", "--name", "helper", "--queues", HEAVY, "--threads", "32")


@contextmanager
def _redis_away(stack: Stack) -> Iterator[None]:
    stack.valkey.stop()
    yield
    stack.valkey.start()


@contextmanager
def _redis_full(stack: Stack) -> Iterator[None]:
    with stack.valkey.client() as client:
        client.config_set("maxmemory", "1mb")  # less than it takes empty: nothing more fits
        yield
        client.config_set("maxmemory", "512mb")


@contextmanager
def _slow_postgres(stack: Stack) -> Iterator[None]:
    stack.to_postgres.slow(_SECONDS_OF_A_SLOW_SERVER)
    yield
    stack.to_postgres.restore()


@contextmanager
def _no_leader(stack: Stack) -> Iterator[None]:
    for role in ("scheduler-1", "scheduler-2"):
        stack.stop(role)
    yield
    for role in ("scheduler-1", "scheduler-2"):
        stack.start(role)


@contextmanager
def _takeover(stack: Stack) -> Iterator[None]:
    """Whoever leads dies, and is started again as a container would be."""
    leader = wait_for(lambda: leader_of(stack.fleet) or 0, 30, "a leader")
    role = next(role for role, process in stack.processes.items() if process.pid == leader)
    os.kill(leader, signal.SIGKILL)
    stack.processes[role].wait(10)
    time.sleep(5)
    stack.start(role)
    yield


@contextmanager
def _stuck_outbox(stack: Stack) -> Iterator[None]:
    """While Redis stutters, somebody begins to delete rows of the outbox by hand, and forgets the transaction."""
    redis = stack.valkey.pid
    assert redis is not None
    os.kill(redis, signal.SIGSTOP)
    try:
        with more_tasks(stack.fleet, {"name": "diagnostics.echo", "params": {"value": 1}}, every=0.1):
            wait_for(lambda: stack.fleet.query("SELECT count(*) AS n FROM outbox")[0].n > 3, 30, "rows in the outbox")
        forgotten = stack.postgres.connect()
        forgotten.execute("BEGIN")
        forgotten.execute("DELETE FROM outbox")
    finally:
        os.kill(redis, signal.SIGCONT)
    yield
    forgotten.close()


@contextmanager
def _locked_outbox(stack: Stack) -> Iterator[None]:
    """A transaction that somebody forgot holds the whole table."""
    with stack.postgres.connect() as forgotten:
        forgotten.execute("BEGIN")
        forgotten.execute("LOCK TABLE outbox")
        yield
        forgotten.execute("ROLLBACK")


@contextmanager
def _crash_loop(stack: Stack) -> Iterator[None]:
    with more_tasks(stack.fleet, {"name": "diagnostics.crash", "params": {"signal": "SIGSEGV", "times": 99}}, every=10):
        yield


@contextmanager
def _no_memory(stack: Stack) -> Iterator[None]:
    """Tasks that need more than the worker's control group has."""
    body = {"name": "diagnostics.allocate", "params": {"megabytes": 1000}, "queue": HEAVY_QUEUE}
    with more_tasks(stack.fleet, body, every=20):
        yield


FAULTS = (
    Fault("no-worker", "TaskyardNoWorkerForQueue", "the only worker of a queue with work is stopped", _no_worker),
    Fault("always-failing", "TaskyardTaskTypeFailing", "a type fails at every attempt", _always_failing),
    Fault("growing-queue", "TaskyardBacklogGrowing", "three times what its worker can do is submitted", _growing_queue),
    Fault("redis-away", "TaskyardDependencyDown", "Redis is stopped", _redis_away),
    Fault("redis-full", "TaskyardRedisMemoryFull", "maxmemory is below what Redis holds", _redis_full),
    Fault("postgres-slow", "TaskyardPostgresSlow", "each packet to and from PostgreSQL takes 150 ms", _slow_postgres),
    Fault("no-leader", "TaskyardNoLeader", "both schedulers are stopped", _no_leader),
    Fault("takeover", None, "the leader is killed, the standby takes over", _takeover),
    Fault("outbox-stuck", "TaskyardOutboxStuck", "a forgotten transaction holds rows of the outbox", _stuck_outbox),
    Fault("outbox-locked", "TaskyardOutboxStuck", "a forgotten transaction holds the outbox", _locked_outbox),
    Fault("crash-loop", "TaskyardCrashLoop", "a type kills its process at once", _crash_loop),
    Fault("no-memory", "TaskyardWorkerOutOfMemory", "tasks need more memory than their worker has", _no_memory),
)
