"""The faults, as they happen in production. Each is a block: it is there inside of it, and mended after it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.support.fleet import wait_for
from tests.support.schedules import leader_of

from .load import HEAVY_QUEUE, more_tasks
from .stack import HEAVY, ORDINARY, WORKER_MEGABYTES, Stack
from .tasks import LIBRARY, PASSWORD

_SECONDS_OF_A_SLOW_SERVER = 0.25  # more for each packet, in each direction


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
    yield
    stack.start("worker-geo")


@contextmanager
def _always_failing(stack: Stack) -> Iterator[None]:
    with stack.without(PASSWORD):
        yield


@contextmanager
def _growing_queue(stack: Stack) -> Iterator[None]:
    """Three seconds of work a second, for a worker with one thread."""
    body = {"name": "diagnostics.sleep", "params": {"seconds": 1.0}, "queue": HEAVY_QUEUE}
    with more_tasks(stack.fleet, body, every=1 / 3):
        yield
    stack.reinforce(HEAVY, threads=32)


@contextmanager
def _slow_queue(stack: Stack) -> Iterator[None]:
    """Two and a half times what all ordinary workers can do."""
    with more_tasks(stack.fleet, {"name": "diagnostics.sleep", "params": {"seconds": 20.0}}, every=0.5):
        yield
    stack.reinforce(ORDINARY, threads=64)


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
def _no_scheduler(stack: Stack) -> Iterator[None]:
    for role in ("scheduler-1", "scheduler-2"):
        stack.stop(role)
    yield
    for role in ("scheduler-1", "scheduler-2"):
        stack.start(role)


@contextmanager
def _takeover(stack: Stack) -> Iterator[None]:
    leader = wait_for(lambda: leader_of(stack.fleet) or 0, 30, "a leader")
    os.kill(leader, signal.SIGKILL)
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
        with _forgotten(stack, "DELETE FROM outbox"):
            os.kill(redis, signal.SIGCONT)
            yield
    finally:
        os.kill(redis, signal.SIGCONT)


@contextmanager
def _locked_outbox(stack: Stack) -> Iterator[None]:
    with _forgotten(stack, "LOCK TABLE outbox"):
        yield


@contextmanager
def _no_leader(stack: Stack) -> Iterator[None]:
    with _forgotten(stack, "SELECT FROM leader FOR UPDATE"):
        yield


@contextmanager
def _forgotten(stack: Stack, statement: str) -> Iterator[None]:
    """A transaction in which somebody ran it by hand."""
    with stack.postgres.connect() as connection:
        connection.execute("BEGIN")
        connection.execute(statement)
        yield
        connection.execute("ROLLBACK")


@contextmanager
def _crash_loop(stack: Stack) -> Iterator[None]:
    with more_tasks(stack.fleet, {"name": "drill.render"}, every=10), stack.without(LIBRARY):
        yield


@contextmanager
def _no_memory(stack: Stack) -> Iterator[None]:
    """Tasks that need more than the worker's control group has, until it has more."""
    body = {"name": "diagnostics.allocate", "params": {"megabytes": 1000}, "queue": HEAVY_QUEUE}
    with more_tasks(stack.fleet, body, every=20):
        yield
        stack.memory.limit(4 * WORKER_MEGABYTES)


FAULTS = (
    # Those that take long first: the others run beside them.
    Fault("growing-queue", "TaskyardBacklogGrowing", "three times what its worker can do is submitted", _growing_queue),
    Fault("always-failing", "TaskyardTaskTypeAlwaysFails", "what all tasks of a type need is gone", _always_failing),
    Fault("no-memory", "TaskyardWorkerOutOfMemory", "tasks need more memory than their worker has", _no_memory),
    Fault("postgres-slow", "TaskyardDatabaseSlow", "each packet to and from PostgreSQL takes 250 ms", _slow_postgres),
    Fault("outbox-stuck", "TaskyardOutboxStuck", "a forgotten transaction holds rows of the outbox", _stuck_outbox),
    Fault("no-worker", "TaskyardNoWorkerForQueue", "the only worker of a queue with work is stopped", _no_worker),
    Fault("crash-loop", "TaskyardWorkerCrashLoop", "a type kills its process at once", _crash_loop),
    Fault("redis-away", "TaskyardRedisDown", "Redis is stopped", _redis_away),
    Fault("redis-full", "TaskyardRedisMemory", "maxmemory is below what Redis holds", _redis_full),
    Fault("no-scheduler", "TaskyardSchedulersDown", "both schedulers are stopped", _no_scheduler),
    # To the schedulers PostgreSQL is away: they do nothing else with it while none of them leads.
    Fault("no-leader", "TaskyardDatabaseDown", "a forgotten transaction holds the leader's lease", _no_leader),
    Fault("slow-queue", "TaskyardQueueWaitBudgetBurn", "tasks take ten times as long as they did", _slow_queue),
    Fault("takeover", None, "the leader is killed, the standby takes over", _takeover),
    Fault("outbox-locked", "TaskyardApiErrorBudgetBurn", "a forgotten transaction holds the outbox", _locked_outbox),
)
