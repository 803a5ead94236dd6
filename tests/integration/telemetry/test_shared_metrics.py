"""One `/metrics` for several processes: right after kills, and no larger after days of recycling."""

import fcntl
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskyard.telemetry.metrics import Metrics, SharedFiles, remove_directory, shared_directory

CHILD = """
import sys, time
from pathlib import Path
from taskyard.telemetry.metrics import Metrics, SharedFiles
directory, name = sys.argv[1:3]
metrics = Metrics("worker", shared=SharedFiles(Path(directory), name))
done = metrics.counters("done_total", "Done.", {"queue": ("a", "b")})
busy = metrics.gauge("busy", "Busy.", mode="livesum")
first = metrics.gauge("first_timestamp_seconds", "First.", mode="livemin")
seconds = metrics.histogram("run_seconds", "Run.", buckets=(1, 10))
database = metrics.dependency("database")
print("ready", flush=True)
for line in sys.stdin:
    command, number = line.split()
    if command == "done":
        for _ in range(int(number)):
            done["a"].inc()
            seconds.observe(0.5)
    elif command == "busy":
        busy.set(int(number))
    elif command == "first":
        first.set(metrics.unset if number == "-1" else float(number))
    elif command == "database":
        database.answered() if number == "1" else database.failed(ConnectionError())
    print("ok", flush=True)
"""


class Child:
    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(directory), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def tell(self, *commands: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        for command in commands:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "ok\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


class Worker:
    """A supervisor in the test's process."""

    def __init__(self) -> None:
        self.directory = shared_directory()
        self.metrics = Metrics("worker", shared=SharedFiles(self.directory, "supervisor"))
        self.metrics.counters("done_total", "Done.", {"queue": ("a", "b")})
        self.server = self.metrics.serve("127.0.0.1", 0)
        self.children: list[Child] = []

    def child(self, name: str) -> Child:
        made = Child(self.directory, name)
        self.children.append(made)
        return made

    def scrape(self) -> dict[str, float]:
        with urllib.request.urlopen(self.server.url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name.removeprefix("taskyard_"): float(value) for name, _, value in pairs}

    def close(self) -> None:
        for child in self.children:
            child.kill()
        self.server.stop()
        self.metrics.close()
        remove_directory(self.directory)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def test_children_are_summed_and_the_counts_of_killed_ones_stay(worker: Worker) -> None:
    first, second = worker.child("child0"), worker.child("child1")
    first.tell("done 3", "busy 2")
    second.tell("done 4", "busy 5")
    seen = worker.scrape()
    assert seen['done_total{queue="a"}'] == 7
    assert seen['done_total{queue="b"}'] == 0
    assert seen["busy"] == 7
    assert seen["run_seconds_count"] == 7
    assert seen["process_resident_memory_bytes"] > 1e6

    first.kill()
    worker.metrics.forget("child0")
    seen = worker.scrape()
    assert seen['done_total{queue="a"}'] == 7
    assert seen["run_seconds_sum"] == 3.5
    assert seen["busy"] == 5

    worker.child("child0").tell("done 1", "busy 1")
    seen = worker.scrape()
    assert seen['done_total{queue="a"}'] == 8
    assert seen["busy"] == 6


def test_recycling_children_makes_no_more_files(worker: Worker) -> None:
    sizes = set()
    for _ in range(8):
        child = worker.child("child0")
        child.tell("done 1", "busy 1")
        child.kill()
        worker.metrics.forget("child0")
        sizes.add(sum(path.stat().st_size for path in worker.directory.iterdir()))
    assert worker.scrape()['done_total{queue="a"}'] == 8
    assert "busy" not in worker.scrape()
    assert len(sizes) == 1


def test_a_child_without_a_value_does_not_lower_a_minimum(worker: Worker) -> None:
    first, second = worker.child("child0"), worker.child("child1")
    assert worker.scrape()["first_timestamp_seconds"] == 0
    first.tell("first 500")
    assert worker.scrape()["first_timestamp_seconds"] == 500
    second.tell("first 400")
    assert worker.scrape()["first_timestamp_seconds"] == 400
    second.tell("first -1")
    assert worker.scrape()["first_timestamp_seconds"] == 500


def test_a_dependency_is_up_unless_a_process_reports_it_down(worker: Worker) -> None:
    key = 'dependency_up{dependency="database"}'
    first, second = worker.child("child0"), worker.child("child1")
    assert worker.scrape()[key] == 0
    first.tell("database 1")
    assert worker.scrape()[key] == 1
    second.tell("database 0")
    assert worker.scrape()[key] == 0


def test_an_incomplete_file_does_not_fail_a_scrape(worker: Worker) -> None:
    (worker.directory / "counter_child7.db").touch()
    assert worker.scrape()['done_total{queue="a"}'] == 0


def test_directories_of_dead_workers_are_removed_and_those_of_living_ones_are_not(worker: Worker) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = worker.directory.with_name(f"taskyard-metrics-{ended.pid}-left")
    left.mkdir()
    remove_directory(shared_directory())
    assert not left.exists()
    assert worker.directory.exists()
    assert str(os.getpid()) in worker.directory.name


def test_a_directory_of_a_worker_that_is_not_seen_here_is_kept_while_it_lives(worker: Worker) -> None:
    """In another container, which shares this memory and not the process ids."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    used = worker.directory.with_name(f"taskyard-metrics-{ended.pid}-used")
    used.mkdir()
    holder = os.open(used, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        remove_directory(shared_directory())
        assert used.exists()
    finally:
        os.close(holder)
    remove_directory(shared_directory())
    assert not used.exists()


def test_plain_and_shared_metrics_live_in_one_process(worker: Worker) -> None:
    """The library chooses one kind for the whole process; Metrics does not."""
    plain = Metrics("api")
    plain.counters("done_total", "Done.", {"queue": ("a",)})["a"].inc(5)
    assert plain.exposed.get_sample_value("taskyard_done_total", {"queue": "a"}) == 5
    assert worker.scrape()['done_total{queue="a"}'] == 0
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
