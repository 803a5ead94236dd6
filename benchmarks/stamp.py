"""A task type of the benchmark's own, which says when its function began. Bare Dramatiq has one as well."""

from __future__ import annotations

import os
import time

import redis

from taskyard import TaskContext, task

STAMP = "benchmarks.stamp"
STAMPS = "stamps"
ENVIRONMENT = {"TASKYARD_TASK_MODULES": "benchmarks.stamp"}

# Connects when it is first used, in the child.
_client = redis.Redis.from_url(os.environ.get("BENCH_REDIS_URL", "redis://"))


@task(STAMP)
def stamp(context: TaskContext) -> None:
    """Says its task, its process and the time at which it began."""
    began = time.time()
    _client.rpush(STAMPS, f"{context.task_id} {os.getpid()} {began!r}")
