"""Huey with Redis, which takes a task out of Redis when it begins, and stores results."""

import os
import sys

from huey import RedisHuey

huey = RedisHuey("bench", url=os.environ["BENCH_REDIS_URL"])


@huey.task()
def echo(value: object) -> object:
    """Does nothing."""
    return value


if __name__ == "__main__":
    # By its name, so that the consumer finds the task in the module that it imports.
    from huey_noop import echo as imported

    for _ in range(int(sys.argv[1])):
        imported(1)
