"""A child process from its supervisor's side: last messages, causes of death, stuck loops."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from taskyard_worker.slots import Phase, SlotTable
from taskyard_worker.supervisor import handle
from taskyard_worker.supervisor.handle import Handle, cause_of
from taskyard_worker.supervisor.line import Line
from tests.support.fleet import wait_for

Start = Callable[..., Handle]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a stand-in for a child: any Python code, with the line as its standard output."""
    started: list[Handle] = []

    def make(code: str) -> Handle:
        ours, theirs = socket.socketpair()
        process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs.fileno(), stdin=subprocess.DEVNULL)
        theirs.close()
        table = SlotTable.create(8)
        table.hand_down()
        started.append(Handle(0, process, Line(ours, 0), table, time.monotonic(), "its fetcher", start_seconds=30))
        return started[-1]

    yield make
    for child in started:
        if child.process.returncode is None:
            child.kill("the test is over")
            wait_for(lambda child=child: child.reap() is not None, 30, "the end")  # type: ignore[misc]
        child.close()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "exit code 0"),
        (2, "exit code 2"),
        (-9, "killed by signal 9 (SIGKILL)"),
        (-11, "killed by signal 11 (SIGSEGV)"),
        (-35, "killed by signal 35"),
    ],
)
def test_an_exit_code_is_described_in_words(code: int, text: str) -> None:
    assert str(cause_of(code)) == text


def test_messages_of_a_child_are_read_whole_however_they_arrive(start: Start) -> None:
    child = start(
        "import os, time\n"
        'os.write(1, b\'{"event": "re\'); time.sleep(0.1); os.write(1, b\'ady"}\\n{"event": "retiring"}\\n\')\n'
    )
    assert all_it_says(child) == [{"event": "ready"}, {"event": "retiring"}]
    assert child.receive() == []


def test_noise_on_the_line_does_not_end_the_supervisor(start: Start) -> None:
    child = start('import os; os.write(1, b\'oops\\n[1]\\n7\\n\\xff\\n{"event": "ready"}\\n\')')
    assert all_it_says(child) == [{"event": "ready"}]


def test_sending_to_a_dead_child_does_no_harm(start: Start) -> None:
    child = start("")
    wait_for(lambda: child.reap() is not None, 30, "the end")
    for _ in range(3):
        child.send({"do": "drain"})


def test_a_child_that_is_killed_after_its_death_is_still_reaped_with_its_own_exit_code(start: Start) -> None:
    # `Popen.kill` looks first whether it has ended, and takes its exit status away from `reap`.
    child = start("import sys; sys.exit(7)")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    child.kill("too late")
    ended = child.reap()
    assert ended is not None
    assert ended[0] == 7
    child.kill("much too late")


def test_a_child_is_reaped_once_with_its_exit_code_and_peak_memory(start: Start) -> None:
    child = start("import sys; x = bytearray(64 << 20); sys.stdin.read(); sys.exit(3)")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    ended = child.reap()
    assert ended is not None
    code, usage = ended
    assert code == child.process.returncode == 3
    assert usage.ru_maxrss * 1024 > 64 << 20


@pytest.mark.parametrize(("loop", "word"), [("wrote", "writer"), ("polled", "consumer")])
def test_a_loop_that_stopped_while_the_main_thread_turns_is_noticed(
    start: Start, monkeypatch: pytest.MonkeyPatch, loop: str, word: str
) -> None:
    monkeypatch.setattr(handle, "_GRACE_SECONDS", 0.05)
    child = start("import time; time.sleep(60)")
    assert child.stuck() is None, "nothing was reported yet"
    times = {"tick": 1000.0, "polled": 1000.0, "fetched": 1000.0, "wrote": 1000.0}
    child.table.report(pid=1, runs=0, **{**times, loop: 1000.0 - handle.STUCK_SECONDS + 1})
    assert child.stuck() is None
    child.table.report(pid=1, runs=0, **{**times, loop: 1000.0 - handle.STUCK_SECONDS})
    assert child.stuck() is None, "it may only have been stopped for a while"
    time.sleep(0.1)
    assert child.stuck() == f"its {word} had stopped"
    child.table.report(pid=1, runs=0, **times)
    assert child.stuck() is None


def test_a_child_whose_main_thread_stopped_is_left_to_the_limits_of_its_tasks_where_it_runs_one(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handle, "_GRACE_SECONDS", 0.0)
    child = start("import time; time.sleep(60)")
    ago = time.monotonic() - handle.STUCK_SECONDS - 1

    def is_stuck() -> str | None:
        child.stuck()
        time.sleep(0.01)
        return child.stuck()

    child.table.report(pid=1, runs=0, tick=ago, polled=ago, fetched=ago, wrote=ago)
    assert is_stuck() is None, "it is only starting"
    child.ready = True
    child.table.enter(0, uuid4(), uuid4())
    assert is_stuck() == "its main thread had stopped"
    child.table.begin(0)
    assert is_stuck() is None
    child.table.set_phase(0, Phase.FINISHED)
    assert is_stuck() == "its main thread had stopped", "an end that it will never record"


def all_it_says(child: Handle) -> list[object]:
    heard: list[object] = []

    def closed() -> bool:
        heard.extend(child.receive())
        return child.line_closed

    wait_for(closed, 30, "its line to be closed")
    return heard
