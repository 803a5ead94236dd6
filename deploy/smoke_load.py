"""Load on the API while something is done to the servers behind it. Standard library only.

Several callers submit one task after the other until the file of --until appears; with --wait each of them waits for
the end of its task before it submits the next. One half of them opens a connection for each task, the other half keeps
its connections, as a proxy does. Every answer and every failed connection is counted, and submits are timed; the ids go
where smoke_work.py notes them. Exit code 1: a request was refused or failed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import select
import socket
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from smoke_work import note, say

LONGEST_SECONDS = 900
TIMEOUT_SECONDS = 15
WAIT_SECONDS = 10


@dataclass
class Tally:
    """What all callers saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    reopened: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, status: int, body: bytes) -> None:
        with self.lock:
            self.statuses[status] += 1
            if not 200 <= status < 300:
                self.refusals.append(f"{status} {body[:300].decode(errors='replace')}")

    def submitted(self, task_id: str, took: float) -> None:
        with self.lock:
            self.ids.append(task_id)
            self.seconds.append(took)

    def closed_while_idle(self) -> None:
        with self.lock:
            self.reopened += 1

    def failed(self, error: Exception) -> None:
        with self.lock:
            self.broken[f"{type(error).__name__}: {error}"] += 1

    def told(self) -> str:
        times = sorted(self.seconds) or [0.0]
        statuses = ", ".join(f"{n} x {status}" for status, n in sorted(self.statuses.items()))
        return (
            f"{sum(self.statuses.values()) + self.broken.total()} requests: {statuses or 'no answer'};"
            f" {self.broken.total()} failed connections,"
            f" {self.reopened} kept ones that were closed while idle;"
            f" submits: median {times[len(times) // 2] * 1000:.0f} ms, slowest {times[-1] * 1000:.0f} ms"
        )


def was_closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has ended it since the last answer."""
    sock: socket.socket | None = connection.sock
    return sock is not None and bool(select.select([sock], [], [], 0)[0])


class Caller(threading.Thread):
    """Submits one task after the other."""

    def __init__(self, number: int, options: argparse.Namespace, address: tuple[str, int], tally: Tally) -> None:
        super().__init__(daemon=True)
        self.keeps = number % 2 == 1
        self._pause = options.callers / options.rate
        self._tag = options.tag
        self._waits = options.wait
        self._until = Path(options.until)
        self._address = address
        self._tally = tally

    def run(self) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=TIMEOUT_SECONDS)
        sent = 0
        while not self._until.exists():
            sent += 1
            began = time.monotonic()
            try:
                self._submit(connection, sent)
            except (OSError, http.client.HTTPException) as e:
                self._tally.failed(e)
                connection.close()
            if not self.keeps:
                connection.close()
            time.sleep(max(0.0, self._pause - (time.monotonic() - began)))
        connection.close()

    def _submit(self, connection: http.client.HTTPConnection, sent: int) -> None:
        # Every fifth runs for a moment, so that workers that are stopped have something in hand.
        name, params = ("sleep", {"seconds": 2.0}) if sent % 5 == 0 else ("echo", {"value": sent})
        body = json.dumps({"name": f"diagnostics.{name}", "params": params, "tags": [self._tag]})
        began = time.monotonic()
        answer = self._ask(connection, "POST", "/api/v1/tasks", body)
        if answer is None:
            return
        task_id = json.loads(answer)["id"]
        self._tally.submitted(task_id, time.monotonic() - began)
        if self._waits:
            self._ask(connection, "GET", f"/api/v1/tasks/{task_id}?wait={WAIT_SECONDS}")

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None
    ) -> bytes | None:
        """What is answered; None where it is a refusal."""
        # As every proxy does before it uses a connection again.
        if was_closed(connection):
            connection.close()
            self._tally.closed_while_idle()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['SMOKE_KEY']}"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self._tally.answered(answer.status, content)
        return content if 200 <= answer.status < 300 else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="smoke_load.py", description=__doc__)
    parser.add_argument("--tag", required=True)
    parser.add_argument("--until", required=True, help="a file: once it is there, the callers stop")
    parser.add_argument("--wait", action="store_true", help="wait for the end of each task before the next")
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second, of all callers together")
    options = parser.parse_args()
    where = urlsplit(os.environ["SMOKE_URL"])
    # Looked up once: the name stands for one address as long as there is a Service.
    address = (socket.gethostbyname(where.hostname or ""), where.port or 80)
    tally = Tally()
    callers = [Caller(number, options, address, tally) for number in range(options.callers)]
    for caller in callers:
        caller.start()
    deadline = time.monotonic() + LONGEST_SECONDS
    for caller in callers:
        caller.join(max(0.0, deadline - time.monotonic()))
    note(tally.ids)
    say(tally.told())
    if not tally.broken and tally.statuses and all(200 <= status < 300 for status in tally.statuses):
        return 0
    for text, n in (*tally.broken.items(), *Counter(tally.refusals).items()):
        sys.stderr.write(f"{n} x {text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
