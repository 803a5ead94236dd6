"""taskyard.testing: light until used, also on a running loop, and clear where the development stack is missing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from taskyard import TaskContext, task
from taskyard.testing import TaskRun, run_task_async


@task("test.waits")
async def waits(*, context: TaskContext) -> int:
    await asyncio.sleep(0)
    context.log("waited")
    return id(asyncio.get_running_loop())


@task("test.plain")
def plain() -> str:
    return threading.current_thread().name


def test_the_plugin_imports_nothing_beside_pytest_until_a_fixture_is_used() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import taskyard.testing; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    assert loaded <= {"taskyard", "taskyard.testing"}


def test_a_coroutine_function_runs_on_the_loop_of_the_test() -> None:
    async def scenario() -> None:
        run = await run_task_async(waits, {})
        assert run.result == id(asyncio.get_running_loop())
        assert run.logs == ["waited"]

    asyncio.run(scenario())


def test_a_plain_function_does_not_stop_the_loop_of_the_test() -> None:
    assert asyncio.run(run_task_async(plain)).result != threading.current_thread().name


def test_the_fixture_runs_a_task(run_task: Callable[..., TaskRun]) -> None:
    assert run_task(plain).result == threading.current_thread().name


def test_a_fault_of_a_task_that_succeeded_is_an_error(run_task: Callable[..., TaskRun]) -> None:
    with pytest.raises(AssertionError, match="did not fail"):
        run_task(plain).fault  # noqa: B018


TESTS = """
def test_server(taskyard_postgres): pass
def test_stack(taskyard_stack): pass
def test_worker(taskyard_worker): pass
def test_none(run_task): pass
"""
# As in an environment without the distribution.
HIDDEN = """
import importlib.util

find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "taskyard_dev" else find(name, *more)
"""


@pytest.mark.long
def test_without_the_development_stack_tests_are_skipped_and_told_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(HIDDEN)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-p", "no:valkey", str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "1 passed, 3 skipped" in done.stdout, done.stdout + done.stderr
    assert "install the distribution taskyard-dev" in done.stdout
