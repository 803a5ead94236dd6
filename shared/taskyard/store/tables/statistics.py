"""What the leader counts and samples over time: attempts, failures in groups, depths of queues, workers.

`span` names the window (`domain/statistics.py`) whose points a row belongs to, and `at` is the begin of its point. Each
attempt is counted once in each span.
"""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Column, Double, Integer, Table, Text, Uuid, text

from .schema import TIME, metadata

_NONE = text("0")

counted_mark = Table(
    "counted_mark",
    metadata,
    Column("name", Text, primary_key=True),
    Column("upto", BigInteger, nullable=False, comment="the last id of task_attempt that is counted"),
    comment="moves in the transaction of the counts, so that each attempt is counted exactly once",
)

task_count = Table(
    "task_count",
    metadata,
    Column("span", Text, primary_key=True),
    Column("at", TIME, primary_key=True),
    Column("queue", Text, primary_key=True),
    Column("name", Text, primary_key=True, comment="the task type"),
    Column("succeeded", BigInteger, nullable=False, server_default=_NONE),
    Column("failed", BigInteger, nullable=False, server_default=_NONE),
    Column("retried", BigInteger, nullable=False, server_default=_NONE),
    Column("crashed", BigInteger, nullable=False, server_default=_NONE),
    Column("cancelled", BigInteger, nullable=False, server_default=_NONE),
    Column("run_seconds", Double, nullable=False, server_default=_NONE, comment="of all of them together"),
    Column("wait_seconds", Double, nullable=False, server_default=_NONE, comment="from queued to started"),
    Column("runs", ARRAY(BigInteger), nullable=False, comment="a histogram: the buckets of domain/statistics.py"),
    Column("waits", ARRAY(BigInteger), nullable=False),
    comment="attempts that ended",
    postgresql_with={"fillfactor": "70"},
)

error_group = Table(
    "error_group",
    metadata,
    Column("id", Uuid, primary_key=True, comment="made of queue, name, code and place: domain/error_groups.py"),
    Column("queue", Text, nullable=False),
    Column("name", Text, nullable=False, comment="the task type"),
    Column("code", Text, nullable=False),
    Column("place", Text, nullable=False, comment="module:function; empty where it is not known"),
    Column("failures", BigInteger, nullable=False),
    Column("first_seen_at", TIME, nullable=False),
    Column("last_seen_at", TIME, nullable=False),
    Column("task_ids", ARRAY(Uuid), nullable=False, comment="of the newest failures, newest first"),
    Column("solved_at", TIME),
    Column("solved_by", Text, comment="the name of the API key"),
    Column("returned_at", TIME, comment="the first failure after solved_at"),
    comment="failures that are alike; what was said of them stands in the attempts",
    postgresql_with={"fillfactor": "70"},
)

error_count = Table(
    "error_count",
    metadata,
    Column("group_id", Uuid, primary_key=True),
    Column("span", Text, primary_key=True),
    Column("at", TIME, primary_key=True),
    Column("failures", BigInteger, nullable=False),
    postgresql_with={"fillfactor": "70"},
)

queue_sample = Table(
    "queue_sample",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("span", Text, primary_key=True),
    Column("at", TIME, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("samples", Integer, nullable=False),
    Column("total", BigInteger, nullable=False, comment="of the tasks in all samples; divided by them: the average"),
    Column("most", BigInteger, nullable=False),
    postgresql_with={"fillfactor": "70"},
)

worker_sample = Table(
    "worker_sample",
    metadata,
    Column("worker_id", Uuid, primary_key=True),
    Column("at", TIME, primary_key=True, comment="the minute"),
    Column("memory_bytes", BigInteger),
    Column("running", Integer, nullable=False),
)
