"""Labels come out of registries, known series start at 0, and the server bounds what a client can use up."""

import http.client
import logging
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest

from taskyard.telemetry.metrics import OTHER, Metrics, MetricsPortTaken, MetricsServer, SharedFiles
from taskyard.telemetry.metrics_families import MAX_MET
from taskyard.telemetry.metrics_server import REQUEST_SECONDS


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.exposed.get_sample_value(f"taskyard_{name}", labels)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("api", version="1.2.3")


@pytest.fixture
def server(metrics: Metrics) -> Iterator[MetricsServer]:
    made = MetricsServer(metrics.exposed, "127.0.0.1", 0, refresh=metrics.refresh)
    yield made
    made.stop()


def test_known_label_sets_start_at_zero(metrics: Metrics) -> None:
    metrics.counters("sent_total", "Sent.", {"queue": ("a", "b"), "result": ("ok", "not")})
    assert value(metrics, "sent_total", queue="b", result="not") == 0
    metrics.counters("seen_total", "Seen.", {"queue": ("a", "b")}, known=[("a",)])
    assert value(metrics, "seen_total", queue="a") == 0
    assert value(metrics, "seen_total", queue="b") is None


def test_values_that_no_registry_knows_make_one_series(metrics: Metrics) -> None:
    family = metrics.counters("sent_total", "Sent.", {"queue": ("a",), "task": ("t",)})
    for n in range(100):
        family[f"id-{n}", "t"].inc()
    family["a", "t"].inc()
    assert value(metrics, "sent_total", queue=OTHER, task="t") == 100
    assert value(metrics, "sent_total", queue="a", task="t") == 1
    assert len(family) == 2


def test_label_sets_that_another_process_shows_are_made_when_they_are_met(metrics: Metrics) -> None:
    names = [f"t{n}" for n in range(2 * MAX_MET)]
    family = metrics.counters("sent_total", "Sent.", {"task": names}, known=())
    family.know([(name,) for name in names], from_start=False)
    assert len(family) == 0
    for name in names:
        family[name].inc()
    assert value(metrics, "sent_total", task=names[-1]) == 1, "they are not among those that callers choose"


def test_a_label_set_of_the_wrong_length_is_refused(metrics: Metrics) -> None:
    family = metrics.counters("sent_total", "Sent.", {"queue": ("a",), "task": ("t",)})
    with pytest.raises(KeyError):
        family["a"]


def test_no_gauge_may_outlive_its_process(metrics: Metrics) -> None:
    for mode in ("all", "max", "liveall"):
        with pytest.raises(ValueError, match="outlive"):
            metrics.gauge("level", "Level.", mode=mode)  # type: ignore[arg-type]


def test_metrics_are_served_with_what_is_running(metrics: Metrics, server: MetricsServer) -> None:
    with urllib.request.urlopen(server.url, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = answer.read().decode()
    assert 'taskyard_build_info{python="3.' in text
    assert 'service="api",version="1.2.3"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert 'taskyard_dependency_up{dependency="redis"} 0.0' in text
    assert "_created" not in text


def test_gauges_that_are_looked_up_are_fresh_at_each_scrape(metrics: Metrics, server: MetricsServer) -> None:
    level = metrics.gauge("level", "Level.", mode="livesum")
    seen: list[int] = []

    def look() -> None:
        seen.append(1)
        level.set(len(seen))

    def fail() -> None:
        raise RuntimeError("must not cost the scrape")

    metrics.on_refresh(fail)
    metrics.on_refresh(look)
    for expected in (1, 2):
        with urllib.request.urlopen(server.url, timeout=5) as answer:
            assert f"taskyard_level {expected}.0" in answer.read().decode()


def test_other_paths_and_methods_are_answered_politely(server: MetricsServer) -> None:
    def ask(method: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request(method, path)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    status, body = ask("GET", "/")
    assert status == 404
    assert b"/metrics" in body
    assert ask("POST", "/metrics")[0] == 405


def test_a_taken_port_is_said_in_one_line_that_names_the_variable(metrics: Metrics, server: MetricsServer) -> None:
    with pytest.raises(MetricsPortTaken) as refused:
        metrics.serve("127.0.0.1", server.port)
    assert str(refused.value).startswith(f"TASKYARD_METRICS_PORT: cannot listen on 127.0.0.1:{server.port}")
    assert "\n" not in str(refused.value)
    with pytest.raises(MetricsPortTaken, match="TASKYARD_METRICS_HOST"):
        metrics.serve("no.such.host.invalid", 0)


@pytest.mark.long
def test_clients_that_say_nothing_cannot_keep_the_server(server: MetricsServer) -> None:
    """Many idle connections are turned away or timed out; a scrape succeeds soon afterwards."""
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(60)]
    deadline = time.monotonic() + REQUEST_SECONDS + 10
    while True:
        try:
            with urllib.request.urlopen(server.url, timeout=5) as answer:
                assert answer.status == 200
            break
        except (urllib.error.URLError, OSError, http.client.HTTPException):
            assert time.monotonic() < deadline, "the idle connections kept the server"
            time.sleep(0.1)
    for connection in idle:
        connection.close()


@pytest.mark.parametrize("request_", [b"\r\n\r\n", b"GET\r\n\r\n", b"x" * 20_000, b"\xff\xfe\r\n\r\n"])
def test_garbage_does_no_harm(server: MetricsServer, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(request_)
        with suppress(ConnectionResetError, TimeoutError):
            assert b"taskyard" not in client.recv(1000)
    with urllib.request.urlopen(server.url, timeout=5) as answer:
        assert answer.status == 200


def test_a_dependency_is_logged_where_it_changes_only(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    database = metrics.dependency("database")
    with caplog.at_level(logging.INFO):
        database.answered()
        for _ in range(10):
            database.failed(ConnectionError("refused"))
        for _ in range(10):
            database.answered()
    assert [record.message for record in caplog.records] == ["dependency_down", "dependency_up"]
    assert value(metrics, "dependency_up", dependency="database") == 1


def test_a_call_that_began_before_the_last_answer_does_not_say_that_the_server_is_down(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    database = metrics.dependency("database")
    with caplog.at_level(logging.INFO):
        began = time.monotonic()
        database.answered()  # another thread's call
        database.failed(ConnectionError("the database system is starting up"), began=began)
        assert value(metrics, "dependency_up", dependency="database") == 1
        assert not caplog.records
        with pytest.raises(ConnectionError), database.watched(ConnectionError):
            raise ConnectionError("refused")
    assert [record.message for record in caplog.records] == ["dependency_down"]


def test_metrics_may_be_there_only_while_something_holds(metrics: Metrics) -> None:
    leads = [False]
    part = metrics.shown_while(lambda: leads[0])
    part.gauge("level", "Level.", mode="livesum").set(5)
    assert value(metrics, "level") is None
    leads[0] = True
    assert value(metrics, "level") == 5


def test_a_name_that_cannot_be_part_of_a_file_name_is_refused(tmp_path: object) -> None:
    for name in ("child_1", "../child", "", "Child"):
        with pytest.raises(ValueError, match="no name"):
            SharedFiles(tmp_path, name)  # type: ignore[arg-type]
