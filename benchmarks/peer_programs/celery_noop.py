"""Celery as it is run for tasks that must not be lost: prefork, late acknowledgement, results in Redis."""

import os
import sys

from celery import Celery

URL = os.environ["BENCH_REDIS_URL"]

app = Celery("celery_noop", broker=URL, backend=URL)
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, broker_connection_retry_on_startup=True)


@app.task
def echo(value: object) -> object:
    """Does nothing."""
    return value


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        echo.delay(1)
