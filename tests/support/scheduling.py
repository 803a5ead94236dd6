"""Tasks in the ledger, and schedulers as processes, for the tests of the scheduler."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import redis
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import Publisher
from taskyard.lifecycle import workers
from taskyard.lifecycle.claim import claim
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.submit import SubmittedTask, submit
from taskyard.settings import DEFAULT_QUEUES
from taskyard.store import ledger
from taskyard.telemetry.metrics import Metrics
from taskyard_scheduler.database_watch import DatabaseWatch
from taskyard_scheduler.jobs import Dependencies
from taskyard_scheduler.leader import Leadership
from taskyard_scheduler.metrics import BrokerMetrics, DepthMetrics, SchedulerMetrics
from taskyard_scheduler.queued_tasks import QueuedTasks
from tests.support.fleet import metrics_of
from tests.support.ledger import new_task, worker_info

TYPE = "diagnostics.echo"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def put_in(
    engine: Engine, count: int, *, queue: str = "default", delay: float | None = None, **more: Any
) -> Committed[list[SubmittedTask]]:
    """Commits tasks and publishes nothing, like a submitter that died right after its commit."""
    tasks = [new_task(queue=queue, delay_seconds=delay, **more) for _ in range(count)]
    return ledger.run(engine, lambda conn: submit(conn, tasks))


def execute(engine: Engine, statement: str, **values: Any) -> Any:
    with engine.connect() as conn:
        return conn.execute(sa.text(statement), values)


def scalar(engine: Engine, statement: str, **values: Any) -> Any:
    with engine.connect() as conn:
        return conn.execute(sa.text(statement), values).scalar()


def make_worker(engine: Engine, *, queues: tuple[str, ...] = DEFAULT_QUEUES) -> UUID:
    """A worker that has just sent a heartbeat."""
    info = worker_info(queues=queues)
    with ledger.connection(engine) as conn:
        workers.ensure_queues(conn, queues)
        workers.register(conn, info)
    return info.id


def claim_all(engine: Engine, worker_id: UUID, ids: list[UUID], *, begun: bool = True) -> UUID:
    token = uuid4()
    with ledger.connection(engine) as conn:
        won = claim(conn, ids, claim=token, worker_id=worker_id, worker="test:0", types={TYPE: 1}).answer
        assert len(won) == len(ids)
        workers.beat(conn, workers.Beat(worker_id=worker_id, begun=ids if begun else ()))
    return token


@dataclass
class LeaderParts:
    """The parts of a leader in this process, so that a test can run one turn of one job."""

    engine: Engine
    redis_url: str
    clock: Clock = field(default_factory=Clock)
    pause: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        self.names = Names()
        self.client: redis.Redis = make_redis(self.redis_url)
        self.publisher = Publisher(self.client, self.names)
        self.dispatcher = Dispatcher(self.engine, self.publisher)
        self.database = DatabaseWatch(pause=self.pause, clock=self.clock)
        self.leadership = self.candidate("leader")
        self.telemetry = Metrics("scheduler")
        self.metrics = SchedulerMetrics(self.telemetry, self.leadership)
        self.broker_metrics = BrokerMetrics(self.telemetry, self.leadership)
        self.depth_metrics = DepthMetrics(self.telemetry, DEFAULT_QUEUES, self.leadership)
        self.dependencies = Dependencies(self.telemetry.dependency("database"), self.telemetry.dependency("redis"))
        self.tasks = QueuedTasks(self.client, self.names)
        with ledger.connection(self.engine) as conn:
            workers.ensure_queues(conn, DEFAULT_QUEUES)

    def candidate(self, name: str, *, clock: Clock | None = None) -> Leadership:
        return Leadership(
            self.engine,
            self.engine,
            self.database,
            name=name,
            # PostgreSQL's clock runs on while the test's does not, so the lease has to outlast a slow test.
            lease=timedelta(seconds=60),
            clock=clock or self.clock,
        )

    def __enter__(self) -> Self:
        self.dispatcher.start()
        self.leadership.campaign()
        return self

    def __exit__(self, *_: object) -> None:
        self.dispatcher.stop()
        self.client.close()

    def value(self, name: str, **labels: str) -> float | None:
        return self.telemetry.exposed.get_sample_value(f"taskyard_{name}", labels)

    def messages(self, queue: str = "default") -> list[str]:
        """The ids in the queue's list, in order."""
        found: Any = self.client.lrange(self.names.queue(queue), 0, -1)
        return [message_id.decode() for message_id in found]

    def payloads(self, queue: str = "default") -> set[str]:
        found: Any = self.client.hkeys(self.names.messages(queue))
        return {message_id.decode() for message_id in found}

    def age(self, seconds: float, *, outbox: bool = True) -> None:
        """Makes all queued tasks and outbox rows older."""
        interval = f"interval '{seconds} seconds'"
        execute(self.engine, f"UPDATE task SET queued_at = queued_at - {interval} WHERE state = 'queued'")
        if outbox:
            execute(self.engine, f"UPDATE outbox SET created_at = created_at - {interval}")


class Scheduler:
    """`taskyard-scheduler run` as a process of its own."""

    def __init__(self, directory: Path, name: str, **environment: str) -> None:
        self.name = name
        self.health_file = directory / f"{name}.alive"
        self._log = directory / f"{name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "taskyard_scheduler.cli", "run"],
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")},
                    "TASKYARD_METRICS_PORT": "0",
                    "TASKYARD_HEALTH_FILE": str(self.health_file),
                    "TASKYARD_HEARTBEAT_SECONDS": "0.5",
                    "TASKYARD_WORKER_LEASE_SECONDS": "1",
                    "TASKYARD_LOG_FORMAT": "json",
                    **environment,
                },
                stdout=log,
                stderr=log,
            )

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.events if line["event"] == event]

    def seconds_to(self, event: str, since: datetime) -> float:
        """From `since` to the time of the last such event in its log, which does not depend on when the test looks."""
        return (datetime.fromisoformat(self.said(event)[-1]["timestamp"]) - since).total_seconds()

    def metrics(self) -> dict[str, float]:
        return metrics_of(self.said("scheduler_started")[0]["metrics"])

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
