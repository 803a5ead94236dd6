"""What signals do to a worker, and what of them a task's programs inherit."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.integration.worker.processes import LedgerFleet, lines
from tests.integration.worker.test_copies import sick, told
from tests.support.effects import effects
from tests.support.fleet import children, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

__all__ = ["sick"]

IGNORED = [
    *("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGSTKFLT", "SIGPIPE", "SIGXFSZ"),
    *("SIGRTMIN", "SIGRTMAX"),
]


def test_sighup_replaces_all_children_one_after_the_other_and_loses_nothing(sick: LedgerFleet) -> None:
    worker = sick.fleet.start_worker(processes=2, threads=2)
    wait_for(lambda: len(lines(sick.fleet.logs(), '"child_ready"')) == 2, 30, "both to be ready")
    before = set(children(worker.pid))
    long = sick.put("tests.effect", 2, seconds=4.0)
    wait_for(lambda: len(effects(sick.fleet.effects)) == 2, 20, "two to run")
    worker.send_signal(signal.SIGHUP)
    ids, most = [], 0
    deadline = time.monotonic() + 60

    def is_replaced() -> bool:
        nonlocal most
        now = children(worker.pid)
        most = max(most, len(set(now) - before))
        if time.monotonic() < deadline - 30:
            ids.extend(sick.put("tests.effect", 5))
        return len(now) == 2 and not before & set(now)

    wait_for(is_replaced, 60, "two other children", every=0.1)
    assert sick.wait(long + ids, 60) == ["succeeded"] * (2 + len(ids))
    assert sorted(effects(sick.fleet.effects)) == sorted(map(str, long + ids)), "each ran once"
    order = [e for line in lines(sick.fleet.logs(), '"child_') for e in ("child_ready", "child_retiring") if e in line]
    assert order[:2] == ["child_ready"] * 2
    assert order[2:6] == ["child_ready", "child_retiring"] * 2, "ready before the next one retires"
    worker.terminate()
    assert worker.wait(20) == 0


@pytest.mark.long
def test_children_that_sighup_cannot_replace_work_on(sick: LedgerFleet, tmp_path: Path) -> None:
    module = tmp_path / "own_module.py"
    module.write_text("")
    sick.fleet.environment["TASKYARD_TASK_MODULES"] += ",own_module"
    sick.fleet.environment["PYTHONPATH"] += f":{tmp_path}"
    worker = sick.fleet.start_worker(processes=2, threads=1)
    wait_for(lambda: len(lines(sick.fleet.logs(), '"child_ready"')) == 2, 30, "both to be ready")
    before = set(children(worker.pid))
    module.write_text("import half_installed\n")
    worker.send_signal(signal.SIGHUP)
    wait_for(lambda: len(lines(sick.fleet.logs(), '"child_misconfigured"')) >= 2, 30, "two tries")
    assert sick.wait(sick.put("tests.effect", 5)) == ["succeeded"] * 5
    assert before <= set(children(worker.pid))
    module.write_text("")
    wait_for(lambda: len(children(worker.pid)) == 2 and not before & set(children(worker.pid)), 60, "two others")
    worker.terminate()
    assert worker.wait(20) == 0


def test_sigquit_stops_a_worker_as_sigterm_does(sick: LedgerFleet) -> None:
    worker = sick.fleet.start_worker(threads=2)
    ids = sick.put("tests.effect", 2, seconds=1.5)
    wait_for(lambda: len(effects(sick.fleet.effects)) == 2, 20, "both to begin")
    worker.send_signal(signal.SIGQUIT)
    assert worker.wait(20) == 0
    assert sick.harness.states(ids) == ["succeeded"] * 2


def test_other_signals_end_neither_worker_nor_children_and_cost_no_task_anything(sick: LedgerFleet) -> None:
    worker = sick.fleet.start_worker(threads=2)
    (child,) = children(worker.pid)
    ids = sick.put("tests.effect", 2, seconds=3.0)
    wait_for(lambda: len(effects(sick.fleet.effects)) == 2, 20, "both to begin")
    for _ in range(3):
        for name in IGNORED:
            number = getattr(signal, name)
            os.kill(worker.pid, number)
            os.kill(child, number)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        os.kill(child, number)  # as from a terminal, which sends them to its whole group
    assert sick.wait(ids) == ["succeeded"] * 2
    assert children(worker.pid) == [child]
    assert worker.poll() is None
    assert {row.attempt for row in sick.harness.query("SELECT attempt FROM task")} == {1}
    for name in IGNORED:
        assert len(lines(sick.fleet.logs(), '"signal_ignored"', f'"{name}"')) <= 1, name


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM])
@pytest.mark.long
def test_a_signal_while_a_child_is_starting_does_not_end_it(sick: LedgerFleet, number: signal.Signals) -> None:
    worker = sick.start_raw("--processes", "1")
    (child,) = wait_for(lambda: children(worker.pid), 30, "the child", every=0.002)
    os.kill(child, number)
    assert sick.wait(sick.put("tests.effect"), 30) == ["succeeded"]
    assert children(worker.pid) == [child]


def test_programs_that_a_task_starts_ignore_and_block_no_signal(sick: LedgerFleet) -> None:
    # What a worker inherits from who starts it, its tasks' programs must not inherit.
    for number in (signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])
    try:
        worker = sick.fleet.start_worker(threads=1)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number in (signal.SIGUSR1, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
    (task,) = sick.put("tests.sick", do="signals_of_programs")
    assert sick.wait([task]) == ["succeeded"]
    said = told(sick, task)
    assert isinstance(said, dict)
    assert said == {how: [0, 0] for how in said}
    assert set(said) == {"subprocess", "subprocess as is", "posix_spawn", "fork"}
    worker.terminate()
    assert worker.wait(20) == 0, "a signal that was blocked when it started stops it"
