"""The application, killed again and again: `python -m tests.kills.application` with a JSON object on standard input.

This process forks it, which costs milliseconds where a start would cost a second. It is told of each commit that
begins and ends, and kills at a random moment after one of these. Standard output: a JSON line for each kill, with the
order whose commit was under way, if one was.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import ExitStack, suppress
from typing import Any, NoReturn
from uuid import UUID, uuid4

import psycopg
import sqlalchemy as sa

from taskyard_client.transaction import submit_in
from tests.support.connections import OPENED

TASK = "diagnostics.echo"
# A commit with its fsync takes some milliseconds, a whole transaction about twice that.
_LONGEST_WAIT_SECONDS = 0.008
# Between telling of a commit and sending it, or all kills would come when PostgreSQL has it already.
_LONGEST_PAUSE_SECONDS = 0.002
# On a fast disk, two commits that follow each other at once would hardly ever have a kill between them.
_BETWEEN_COMMITS_SECONDS = _LONGEST_WAIT_SECONDS / 2
_BEGINS, _ENDED = b"c", b"d"


def work(url: str, library: str, told: int, *, apart: bool) -> NoReturn:
    """Orders, each with its task, until this process is killed. `apart`: the task is submitted in a transaction of its
    own, which is what this proves to be wrong."""
    while True:
        order = uuid4()
        with ExitStack() as transactions:
            connection = where = transactions.enter_context(OPENED[library](url))
            if apart:
                transactions.callback(time.sleep, _BETWEEN_COMMITS_SECONDS)
                where = transactions.enter_context(OPENED["psycopg"](url))
            first = order.int % 2 == 0
            task = submit_in(where, TASK, {"value": str(order)}) if first else None
            write(connection, "INSERT INTO orders (id) VALUES (%(id)s)", id=order)
            task = task or submit_in(where, TASK, {"value": str(order)})
            write(connection, "UPDATE orders SET task_id = %(task)s WHERE id = %(id)s", task=task, id=order)
            os.write(told, _BEGINS + order.bytes)
            time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))
        os.write(told, _ENDED + order.bytes)


def write(connection: Any, statement: str, **values: UUID) -> None:
    if hasattr(connection, "execute") and not isinstance(connection, psycopg.Connection):
        connection.execute(sa.text(statement.replace("%(id)s", ":id").replace("%(task)s", ":task")), values)
        return
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def kill_one(chance: random.Random, url: str, *, apart: bool) -> UUID | None:
    """Starts the application, kills it, and returns the order whose commit was under way."""
    library = chance.choice(list(OPENED))
    hears, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(hears)
        random.seed()
        with suppress(BaseException):
            work(url, library, tells, apart=apart)
        os._exit(1)
    os.close(tells)
    heard = b""
    try:
        for _ in range(chance.randint(1, 5)):
            heard = os.read(hears, 17)
            if not heard:
                raise RuntimeError(f"the application ended by itself: {library}")
        time.sleep(chance.choice((_LONGEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS / 8)) * chance.random())
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    while more := os.read(hears, 17):
        heard = more
    os.close(hears)
    return UUID(bytes=heard[1:]) if heard[:1] == _BEGINS else None


def main() -> None:
    wanted = json.load(sys.stdin)
    chance = random.Random(wanted["seed"])
    for library in OPENED:  # what the copies need is imported, and the type compiled, before the first one is made
        with OPENED[library](wanted["url"]) as connection:
            submit_in(connection, TASK, {"value": None})
    for _ in range(wanted["kills"]):
        order = kill_one(chance, wanted["url"], apart=wanted["apart"])
        print(json.dumps({"order": None if order is None else str(order)}), flush=True)


if __name__ == "__main__":
    main()
