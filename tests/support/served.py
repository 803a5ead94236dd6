"""`taskyard-api serve` as a process, and what raw bytes get from it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running API; `key` is of an admin."""

    port: int
    key: str
    log: list[str]

    def wire(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=15)

    def send(self, *segments: bytes, half_close: bool = False) -> list[Answer]:
        """What is answered to these bytes until the server closes the connection."""
        with self.wire() as wire:
            for segment in segments:
                wire.sendall(segment)
            if half_close:
                wire.shutdown(socket.SHUT_WR)
            try:
                return read_answers(wire)
            except TimeoutError:
                raise AssertionError(f"no end of the answers to {segments!r}") from None

    def head(self, line: str, *fields: str, key: str | None = None) -> bytes:
        lines = [f"{line} HTTP/1.1", "Host: x", f"Authorization: Bearer {key or self.key}", *fields]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def submit(self, *fields: str, value: object = 1, keep: bool = True) -> bytes:
        """The bytes of a submit."""
        body = json.dumps({"name": "diagnostics.echo", "params": {"value": value}}).encode()
        more = [] if keep else ["Connection: close"]
        fixed = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        return self.head("POST /api/v1/tasks", *fixed, *fields, *more) + body

    def get(self, path: str, *fields: str, method: str = "GET") -> Answer:
        return self.send(self.head(f"{method} {path}", *fields, "Connection: close"))[0]

    def count_tasks(self) -> int:
        return len(self.get("/api/v1/tasks?limit=200").json()["items"])


def read_answers(wire: socket.socket) -> list[Answer]:
    """All answers on a connection, until it is closed. HEAD's have no body, which only the caller knows."""
    got = b""
    while piece := wire.recv(65536):
        got += piece
    found = []
    while got:
        head, _, got = got.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        found.append(Answer(int(status.split()[1]), headers, got[:length]))
        got = got[length:]
    return found


@contextmanager
def served(database_url: str, redis_url: str, storage: Path, **more: str) -> Iterator[Served]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}
    env = {
        **kept,
        "TASKYARD_DATABASE_URL": database_url,
        "TASKYARD_REDIS_URL": redis_url,
        "TASKYARD_STORAGE_DIR": str(storage),
        "TASKYARD_API_PORT": "0",
        "TASKYARD_METRICS_PORT": "0",
        "TASKYARD_LOG_FORMAT": "json",
        **more,
    }
    program = str(BIN / "taskyard-api")
    made = subprocess.run(
        [program, "keys", "bootstrap", "--json"], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    log: list[str] = []
    with subprocess.Popen([program, "serve"], env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            stderr = process.stderr
            port = next(json.loads(line)["port"] for line in stderr if line.startswith("{") and '"serving"' in line)
            threading.Thread(target=log.extend, args=(stderr,), daemon=True).start()
            yield Served(port, json.loads(made.stdout)["key"], log)
        finally:
            process.kill()
