"""Hooks of a user's package in a real worker."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.worker.processes import LedgerFleet, lines
from tests.support.fleet import free_port, metrics_of, wait_for
from tests.support.packages import install

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

MANIFEST = """
from taskyard import Kit
KIT = Kit("billing", ("billing_kit.tasks",), hooks=("billing_kit.hooks:Told", "billing_kit.hooks:Broken"))
"""
TASKS = """
from taskyard import TaskError, task

@task("billing.good")
def good(*, context) -> int:
    context.submit("billing.child", {})
    return 1

@task("billing.child")
async def child() -> int:
    return 2

@task("billing.bad")
def bad() -> int:
    raise TaskError("too_dear", "It costs too much.", retryable=False)
"""
HOOKS = """
import json, os
from taskyard import Hook

class Told(Hook):
    def __init__(self):
        self._file = open(os.environ["BILLING_HEARD"], "a", buffering=1)

    def _tell(self, moment, view, **more):
        self._file.write(json.dumps([moment, view.name, str(view.task_id), more]) + "\\n")

    def before_run(self, run):
        self._tell("before_run", run)

    def after_run(self, run, outcome):
        self._tell("after_run", run, outcome=type(outcome).__name__)

    def on_failure(self, run, fault):
        self._tell("on_failure", run, code=fault.code)

    def before_submit(self, task):
        self._tell("before_submit", task)

    def after_submit(self, task):
        self._tell("after_submit", task)

    def child_ending(self):
        self._file.write(json.dumps(["child_ending", str(os.getpid()), "", {}]) + "\\n")

class Broken(Hook):
    def child_ending(self):
        raise SystemExit(3)

    def before_run(self, run):
        raise SystemExit(3)

    def after_run(self, run, outcome):
        1 / 0
"""


def with_hooks(workers: LedgerFleet, tmp_path: Path) -> Path:
    """Workers that start from now on have the kit. Returns the file in which its hook keeps what it hears."""
    place, heard = tmp_path / "packages", tmp_path / "heard"
    place.mkdir()
    modules = {"billing_kit.manifest": MANIFEST, "billing_kit.tasks": TASKS, "billing_kit.hooks": HOOKS}
    install(place, "acme-billing", modules, kits={"billing": "billing_kit.manifest:KIT"})
    environment = workers.fleet.environment
    environment["PYTHONPATH"] += f"{os.pathsep}{place}"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["BILLING_HEARD"] = str(heard)
    return heard


def test_a_user_s_hooks_hear_of_every_run_and_a_broken_one_changes_none(workers: LedgerFleet, tmp_path: Path) -> None:
    heard = with_hooks(workers, tmp_path)
    environment = workers.fleet.environment
    port = environment["TASKYARD_METRICS_PORT"] = str(free_port())
    workers.fleet.start_worker(processes=1)

    good, bad = workers.put("billing.good", 3), workers.put("billing.bad", 2)
    assert workers.wait(good + bad) == ["succeeded"] * 3 + ["failed"] * 2
    children = [row.id for row in workers.harness.rows().values() if row.parent_id is not None]
    assert workers.wait(children) == ["succeeded"] * 3

    # 3 good ones with two moments of a submit, 3 children, 2 that failed for good.
    wait_for(lambda: len(heard.read_text().splitlines()) >= 3 * 4 + 3 * 2 + 2 * 3, 10, "all moments")
    told = [json.loads(line) for line in heard.read_text().splitlines()]
    assert Counter((moment, name, *more.values()) for moment, name, _, more in told) == {
        ("before_run", "billing.good"): 3,
        ("before_submit", "billing.child"): 3,
        ("after_submit", "billing.child"): 3,
        ("after_run", "billing.good", "Succeeded"): 3,
        ("before_run", "billing.child"): 3,
        ("after_run", "billing.child", "Succeeded"): 3,
        ("before_run", "billing.bad"): 2,
        ("on_failure", "billing.bad", "too_dear"): 2,
        ("after_run", "billing.bad", "Failed"): 2,
    }
    assert {task for moment, _, task, _ in told if moment == "on_failure"} == {str(i) for i in bad}

    failed = [json.loads(line) for line in lines(workers.fleet.logs(), '"hook_failed"')]
    assert {(line["hook"], line["moment"], line["error"]) for line in failed} == {
        ("billing_kit.hooks:Broken", "before_run", "SystemExit"),
        ("billing_kit.hooks:Broken", "after_run", "ZeroDivisionError"),
    }
    assert len(failed) == 2, "one line each, not one a run"
    assert len(lines(workers.fleet.logs(), '"task_started"')) == 8
    # Written after the hooks of the package, which come first at the end of a run.
    wait_for(lambda: len(lines(workers.fleet.logs(), '"task_succeeded"')) >= 6, 20, "the line of each")
    assert len(lines(workers.fleet.logs(), '"task_succeeded"')) == 6
    counted = metrics_of(f"http://127.0.0.1:{port}/metrics")
    for moment in ("before_run", "after_run"):
        labels = f'hook="billing_kit.hooks:Broken",moment="{moment}"'
        assert counted[f"taskyard_hook_errors_total{{{labels}}}"] == 8, "the supervisor serves what its children count"


def test_hooks_hear_of_the_end_of_each_child_after_its_last_task(workers: LedgerFleet, tmp_path: Path) -> None:
    heard = with_hooks(workers, tmp_path)
    worker = workers.fleet.start_worker(processes=2)
    assert workers.wait(workers.put("billing.good", 4)) == ["succeeded"] * 4
    worker.terminate()
    assert worker.wait(60) == 0
    told = [json.loads(line) for line in heard.read_text().splitlines()]
    assert len({pid for moment, pid, *_ in told if moment == "child_ending"}) == 2
    assert [moment for moment, *_ in told].count("child_ending") == 2
    failed = [json.loads(line) for line in lines(workers.fleet.logs(), '"child_ending"')]
    assert [(line["event"], line["error"]) for line in failed] == [("hook_failed", "SystemExit")] * 2


@pytest.mark.long
def test_types_of_an_update_whose_hooks_fail_are_not_registered(workers: LedgerFleet, tmp_path: Path) -> None:
    with_hooks(workers, tmp_path)
    worker = workers.fleet.start_worker(processes=1)
    registered = "SELECT name FROM worker_type WHERE name LIKE 'billing.%' ORDER BY name"
    before = ["billing.bad", "billing.child", "billing.good"]
    wait_for(lambda: [row.name for row in workers.harness.query(registered)] == before, 30, "its types")
    kit = tmp_path / "packages" / "billing_kit"
    (kit / "tasks.py").write_text(TASKS.replace("billing.good", "billing.new"))
    (kit / "hooks.py").write_text(HOOKS.replace("class Broken(Hook):", "class Broken(Hook):\n    __init__ = None\n"))
    worker.send_signal(signal.SIGHUP)
    wait_for(lambda: lines(workers.fleet.logs(), '"child_misconfigured"', "billing_kit.hooks:Broken"), 30, "a child")
    assert [row.name for row in workers.harness.query(registered)] == before
    assert workers.wait(workers.put("billing.good")) == ["succeeded"], "the child of before works on"
    (kit / "hooks.py").write_text(HOOKS)
    worker.send_signal(signal.SIGHUP)
    after = ["billing.bad", "billing.child", "billing.new"]
    wait_for(lambda: [row.name for row in workers.harness.query(registered)] == after, 30, "the new ones")
