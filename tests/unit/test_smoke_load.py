"""What the load of the smoke runs counts, against a server that refuses, hangs up and answers late."""

import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support.fleet import wait_for

LOAD = Path(__file__).parents[2] / "deploy/smoke_load.py"


class Api(http.server.BaseHTTPRequestHandler):
    """`fault` says what becomes of the fifth submit of each caller, which is one of `diagnostics.sleep`. `sent`: the
    numbers of the others."""

    protocol_version = "HTTP/1.1"
    fault = ""
    waits = 0
    sent: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = 202
        if b"diagnostics.sleep" in body:
            if self.fault == "cut":
                self.close_connection = True
                return
            status = 503 if self.fault == "refuse" else 202
            # It ends the connection without having said so.
            self.close_connection = self.fault == "close"
        else:
            self.sent.append(json.loads(body)["params"]["value"])
        self.answer(status, b'{"id": "a-task"}')

    def do_GET(self) -> None:
        type(self).waits += 1
        self.answer(200, b"{}")

    def answer(self, status: int, body: bytes) -> None:
        if self.close_connection:  # what ends the connection arrives with the answer, and not a moment later
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    Api.fault, Api.waits, Api.sent = "", 0, []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def load(server: http.server.ThreadingHTTPServer, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "SMOKE_URL": f"http://127.0.0.1:{server.server_port}",
        "SMOKE_KEY": "ty_key",
        "SMOKE_IDS": str(directory / "ids"),
    }
    until = directory / "enough"
    command = [sys.executable, str(LOAD), "--tag", "load", "--until", str(until), "--callers", "4", "--rate", "80"]
    with subprocess.Popen(
        [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_for(lambda: Api.sent.count(7) == 4, 60, "the seventh task of each caller")
        finally:
            until.touch()
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def numbers(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"(\d+) (?:requests|x|failed|kept)", text)]


def test_every_answer_is_counted_and_every_task_noted(server: http.server.ThreadingHTTPServer, tmp_path: Path) -> None:
    done = load(server, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    requests, accepted, failed, closed = numbers(done.stdout)
    assert requests == accepted > 20
    assert (failed, closed) == (0, 0)
    assert len((tmp_path / "ids").read_text().splitlines()) == accepted
    assert "submits: median" in done.stdout
    assert Api.waits == 0


def test_with_wait_each_task_is_waited_for(server: http.server.ThreadingHTTPServer, tmp_path: Path) -> None:
    done = load(server, tmp_path, "--wait")
    assert (done.returncode, done.stderr) == (0, "")
    requests, waited, accepted, *_ = numbers(done.stdout)
    assert waited == accepted == Api.waits
    assert requests == waited + accepted


@pytest.mark.parametrize(
    ("fault", "told"), [("refuse", ' x 503 {"id": "a-task"}\n'), ("cut", " x RemoteDisconnected: ")]
)
def test_a_request_that_is_refused_or_cut_fails_the_load(
    fault: str, told: str, server: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    Api.fault = fault
    done = load(server, tmp_path)
    assert done.returncode == 1
    assert told in done.stderr
    assert re.search(r" x 503" if fault == "refuse" else r"; [1-9]\d* failed", done.stdout)


def test_a_kept_connection_that_was_closed_while_idle_is_opened_again_and_counted(
    server: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    Api.fault = "close"
    done = load(server, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert numbers(done.stdout)[-1] > 0
