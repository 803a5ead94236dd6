"""What `taskyard doctor` makes of the API's answers, and how it shows that."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import click
import pytest

from taskyard.doctor import network, service
from taskyard.doctor.api import Answer, Api
from taskyard.doctor.diagnosis import why_not
from taskyard.doctor.findings import Finding, Report, Verdict, timed
from taskyard.doctor.rendering import lines
from tests.support.certificates import Authority

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds_ago: float) -> str:
    return (NOW - timedelta(seconds=seconds_ago)).isoformat()


def answer(status: int = 200, date: datetime | None = NOW, **body: Any) -> Answer:
    return Answer(status, body, 0.01, date)


def worker(beat: float = 1.0, running: int = 0, state: str = "running") -> dict[str, Any]:
    return {
        "name": "w-1", "queues": ["default"], "state": state, "processes": 1, "threads": 2, "running_tasks": running,
        "last_beat_at": at(beat),
    }  # fmt: skip


class Told:
    """An API that answers so."""

    def __init__(self, *workers: dict[str, Any], paused: bool = False, **parts: dict[str, Any]) -> None:
        queue = {"name": "default", "paused": paused, "depth": {"queued": 7}}
        queue |= {"paused_at": "2026-01-31T12:00:00Z", "paused_by": "ops"} if paused else {}
        self._answers = {
            "/api/v1/queues": answer(items=[queue]),
            "/api/v1/workers": answer(items=list(workers)),
            "/health/detailed": answer(components=parts),
        }

    def get(self, path: str, **query: Any) -> Answer:
        return self._answers[path]

    read = get


def why(told: Told, *, state: str = "queued", has_type: bool = True) -> Finding:
    task = answer(state=state, created_at=at(15), started_at=at(14), worker="w-1:0")
    return why_not(cast(Api, told), "echo default", "default", task, 15.0, has_type=has_type)


WAITS = {"status": "healthy", "pending": 3, "oldest_at": at(15)}


@pytest.mark.parametrize(
    ("told", "says", "runbook"),
    [
        (Told(worker(), redis={"status": "unhealthy", "reason": "does not answer"}), "not published", "RedisDown"),
        (Told(worker(), outbox=WAITS), "waits in the outbox, and the scheduler has not relayed it", "OutboxStuck"),
        (Told(worker(), outbox=WAITS, scheduler={"reason": "x"}), "outbox, and no scheduler leads", "OutboxStuck"),
        (Told(worker(), outbox={**WAITS, "oldest_at": at(1)}), "no worker fetched it", "WorkerNotPolling"),
        (Told(), "no live worker serves the queue", "NoWorkerForQueue"),
        (Told(worker(40, state="lost")), "w-1 is lost, last heard of 40 s ago", "NoWorkerForQueue"),
        (Told(worker(), paused=True), "the queue is paused since 2026-01-31T12:00:00Z by ops", None),
        (Told(worker(13)), "have not been heard of: w-1 for 13 s", "WorkerNotPolling"),
        (Told(worker(running=1)), "1 slots are free, but no worker fetched it", "WorkerNotPolling"),
    ],
)
def test_what_keeps_an_echo_is_named(told: Told, says: str, runbook: str | None) -> None:
    found = why(told)
    assert found.verdict is Verdict.FAIL
    assert says in found.says
    assert found.runbook == (f"Taskyard{runbook}" if runbook else None)
    assert found.do


def test_a_type_that_no_worker_has_and_a_run_that_does_not_end_are_told_apart() -> None:
    assert "no live worker of the queue runs taskyard.echo" in why(Told(worker()), has_type=False).says
    assert why(Told(worker()), state="running").says == "not finished after 15 s: w-1:0 claimed it 14 s ago"
    assert "has not been heard of for 13 s" in why(Told(worker(13)), state="running").says


def test_a_clock_that_is_wrong_is_a_warning() -> None:
    assert service.clock(answer(date=datetime.now(UTC))).verdict is Verdict.OK
    ahead = service.clock(answer(date=datetime.now(UTC) - timedelta(seconds=60)))
    assert ahead.verdict is Verdict.WARN
    assert "ahead of the API" in ahead.says
    assert service.clock(answer(date=None)).verdict is Verdict.SKIP


def test_a_name_that_does_not_resolve_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    (found,) = network.check("http://nobody.invalid:8000")
    assert (found.step, found.away) == ("address", True)
    assert "nobody.invalid does not resolve" in found.says


def test_what_is_reached_through_a_proxy_is_not_resolved_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:hush@proxy.invalid:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    (found,) = network.check("http://nobody.invalid:8000")
    assert found.verdict is Verdict.OK
    assert "hush" not in found.says


@contextmanager
def listening(context: ssl.SSLContext | None) -> Iterator[int]:
    """A server that accepts, with TLS or without, and says no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError), server.accept()[0] as wire:
                if context is None:
                    wire.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                else:
                    context.wrap_socket(wire, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


def test_a_certificate_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("no_proxy", "*")

    def of(life: timedelta) -> Finding:
        with listening(authority.server_context(authority.sign("api", life=life))) as port:
            return list(network.check(f"https://127.0.0.1:{port}"))[-1]

    unknown = of(timedelta(days=90))
    assert (unknown.step, unknown.verdict, unknown.away) == ("tls", Verdict.FAIL, True)
    assert "is not believed" in unknown.says
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    assert of(timedelta(days=90)).verdict in {Verdict.OK, Verdict.SLOW}
    ends = of(timedelta(days=5))
    assert (ends.step, ends.verdict) == ("tls", Verdict.WARN)
    with listening(None) as port:
        plain = list(network.check(f"https://127.0.0.1:{port}"))[-1]
    assert "no TLS is spoken on this port" in plain.says


FINE = Finding("echo default", Verdict.OK, "came back", 0.0314)
SLOW = timed("database", "answers the API", 2.0, slow_after=0.5, do="Look.")
SKIPPED = Finding("clock", Verdict.SKIP, "the answers have no date")
BROKEN = Finding("scheduler", Verdict.FAIL, "no scheduler leads", do="Start one.", runbook="TaskyardNoLeader")


@pytest.mark.parametrize(
    ("findings", "code", "says"),
    [
        ([FINE], 0, "Everything works: 1 echo came back within 31 ms."),
        ([FINE, SLOW], 0, "Slow: database; 1 echo came back within 31 ms."),
        ([FINE, SLOW, BROKEN, BROKEN], 1, "Broken: scheduler: no scheduler leads (1 more below it)"),
        ([Finding("connect", Verdict.FAIL, "refused", away=True)], 3, "Broken: connect: refused"),
        (
            [Finding("key", Verdict.WARN, "scopes: read")],
            0,
            "No fault found, with something to look at: key; no echo came back.",
        ),
        ([FINE, SKIPPED], 0, "Everything works: 1 echo came back within 31 ms; not looked at: clock."),
        ([SKIPPED], 0, "No fault found: no echo came back; not looked at: clock."),
    ],
)
def test_the_verdict_is_one_sentence_and_an_exit_code(findings: list[Finding], code: int, says: str) -> None:
    report = Report("http://api.test", findings)
    assert (report.exit_code, report.sentence) == (code, says)
    assert report.as_json()["ok"] is (code == 0)


def test_each_finding_is_a_line_and_what_to_do_stands_below_it() -> None:
    (fine,) = [click.unstyle(line) for line in lines(FINE)]
    assert fine.split() == ["ok", "echo", "default", "31", "ms", "came", "back"]
    broken, do, runbook = (click.unstyle(line) for line in lines(BROKEN))
    assert fine.index("came back") == broken.index("no scheduler leads") == do.index("-> Start one.")
    assert runbook.strip() == "docs/runbooks/TaskyardNoLeader.md"


def test_what_others_wrote_cannot_steer_the_terminal() -> None:
    assert "\x1b]0;" not in "".join(lines(Finding("queue a", Verdict.FAIL, "w\x1b]0;x is lost", do="\x07")))
