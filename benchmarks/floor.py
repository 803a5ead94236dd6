"""The commits and round trips between a submit and the start of its task, each by itself: the least that they take.

Over the drivers that the services use, against the same servers. The path has two commits (the submit, the claim) and
three exchanges with Redis: the message is published, a child that waits is woken, and it fetches.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import redis

from benchmarks.checkout import Stack

# How often each part is on the path.
PATH = {"commit": 2, "publish": 1, "wake-up": 1, "fetch": 1}
_PING, _PONG = "floor:ping", "floor:pong"


class Floor:
    """Seconds that each part took, every time."""

    def __init__(self, stack: Stack, client: redis.Redis) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._stack = stack
        self._client = client

    @classmethod
    @contextmanager
    def of(cls, stack: Stack, client: redis.Redis) -> Iterator[Floor]:
        stack.conn.execute("CREATE TABLE IF NOT EXISTS floor (id bigserial PRIMARY KEY, value text)")
        other = subprocess.Popen([sys.executable, "-m", "benchmarks.floor", stack.valkey.url])
        try:
            yield cls(stack, client)
        finally:
            other.kill()
            other.wait()

    def measure(self) -> None:
        parts = {"commit": self._commit, "publish": self._publish, "wake-up": self._wake_up, "fetch": self._fetch}
        for name, part in parts.items():
            self.seconds[name].append(_timed(part) / (2 if name == "wake-up" else 1))

    def _commit(self) -> None:
        self._stack.conn.execute("INSERT INTO floor (value) VALUES ('one row, one statement, one transaction')")

    def _publish(self) -> None:
        pipe = self._client.pipeline(transaction=True)
        pipe.hset("floor:messages", "id", "message")
        pipe.rpush("floor:queue", "id")
        pipe.execute()

    def _fetch(self) -> None:
        pipe = self._client.pipeline(transaction=True)
        pipe.lpop("floor:queue")
        pipe.hget("floor:messages", "id")
        pipe.execute()

    def _wake_up(self) -> None:
        """There and back: from a push to the answer of the blocked pop, in the other process and then in this one."""
        self._client.lpush(_PING, "1")
        assert self._client.blpop([_PONG], timeout=10), "the other process of the floor does not answer"


def total(seconds: Mapping[str, list[float]]) -> float:
    """The sum of the path's parts, by their medians."""
    return sum(times * statistics.median(seconds[name]) for name, times in PATH.items())


def _timed(part: Callable[[], None]) -> float:
    began = time.perf_counter()
    part()
    return time.perf_counter() - began


def _answer(url: str) -> None:
    """The other process: pushes back whatever it is sent."""
    client = redis.Redis.from_url(url)
    while True:
        client.blpop([_PING], timeout=0)
        client.lpush(_PONG, "1")


if __name__ == "__main__":
    _answer(sys.argv[1])
