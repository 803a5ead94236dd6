"""Children that are forked from a template: what they share, what they do not, and what happens when they cannot be."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worker.processes import LedgerFleet, lines
from tests.support.effects import effects
from tests.support.fleet import children, template_of, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

DRAWS = """
import os, random, uuid
import numpy
from taskyard import task
from taskyard.domain.ids import new_id

numpy.random.random(), new_id()  # as a module may do that is imported once

@task("own.draws")
def draws() -> list[str]:
    drawn = [random.random(), numpy.random.random(), uuid.uuid4(), new_id(), os.urandom(8).hex()]
    return [str(os.getpid()), os.environ.get("OMP_NUM_THREADS", ""), *map(str, drawn)]
"""


@pytest.fixture
def own(workers: LedgerFleet, tmp_path: Path) -> Path:
    """A task module of the worker's."""
    workers.fleet.environment["TASKYARD_TASK_MODULES"] += ",own_module"
    workers.fleet.environment["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    workers.fleet.environment["PYTHONDONTWRITEBYTECODE"] = "1"  # the module changes within a second
    return tmp_path / "own_module.py"


def sockets(pid: int) -> set[str]:
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        place = str(fd.readlink())
        if place.startswith(("socket:", "pipe:", "/memfd:")):
            found.add(f"{place} {fd.stat().st_ino}")
    return found


def ends(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()


def ready(workers: LedgerFleet) -> int:
    return len(lines(workers.fleet.logs(), '"child_ready"'))


def test_children_share_nothing_that_belongs_to_one_process(workers: LedgerFleet, own: Path) -> None:
    own.write_text(DRAWS)
    workers.fleet.environment["OMP_NUM_THREADS"] = "3"
    worker = workers.fleet.start_worker(processes=3, threads=1)
    wait_for(lambda: ready(workers) == 3, 30, "all to be ready")
    template = template_of(worker.pid)
    assert template is not None
    assert len(os.listdir(f"/proc/{template}/task")) == 1  # noqa: PTH208
    assert len(sockets(template)) == 1, "its line"
    family = [template, *children(worker.pid)]
    for one in family:
        assert Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[1] == str(worker.pid), "its parent"
        others = set().union(*(sockets(other) for other in family if other != one))
        assert not sockets(one) & others, "an end of a sibling's line would hide that it was closed"
    drawn: dict[str, list[str]] = {}

    def have_all_drawn() -> bool:
        ids = workers.put("own.draws", 10)
        assert workers.wait(ids) == ["succeeded"] * 10
        drawn.update({row.result[0]: row.result[1:] for row in map(workers.row, ids)})
        return len(drawn) == 3

    wait_for(have_all_drawn, 30, "each child to run one")
    for values in zip(*drawn.values(), strict=True):
        assert len(set(values)) == (1 if values[0] == "3" else 3), "what one process draws no other one does"
    worker.kill()
    wait_for(lambda: all(ends(one) for one in family), 30, "all to end with their supervisor")


def test_a_template_that_is_killed_ends_no_child_and_loses_no_task(workers: LedgerFleet) -> None:
    worker = workers.fleet.start_worker(processes=2, threads=2)
    wait_for(lambda: ready(workers) == 2, 30, "both to be ready")
    before = set(children(worker.pid))
    ids = workers.put("tests.effect", 300, seconds=0.05)
    for _ in range(3):
        template = wait_for(lambda: template_of(worker.pid), 20, "a template")
        assert template is not None
        os.kill(template, signal.SIGKILL)
        wait_for(lambda t=template: template_of(worker.pid) not in {None, t}, 20, "another one")  # type: ignore[misc]
    assert set(children(worker.pid)) == before
    assert workers.wait(ids, 60) == ["succeeded"] * 300
    # One that stands still is given up, and the child is spawned.
    template = template_of(worker.pid)
    assert template is not None
    wait_for(lambda: lines(workers.fleet.logs(), '"template_ready"', f'"pid": {template}'), 20, "it to be ready")
    os.kill(template, signal.SIGSTOP)
    os.kill(before.pop(), signal.SIGKILL)
    wait_for(lambda: ready(workers) == 3, 30, "a successor")
    assert template_of(worker.pid) != template
    more = workers.put("tests.effect", 20)
    assert workers.wait(more) == ["succeeded"] * 20
    assert sorted(effects(workers.fleet.effects)) == sorted(map(str, ids + more)), "each ran once"
    worker.terminate()
    assert worker.wait(20) == 0
    assert ends(template)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=[600], daemon=True).start()", "threads"),
        pytest.param("import socket\nPAIR = socket.socketpair()", "a socket", marks=pytest.mark.long),
    ],
    ids=["thread", "socket"],
)
def test_a_worker_whose_modules_cannot_be_forked_spawns_and_says_so(
    workers: LedgerFleet, own: Path, module: str, why: str
) -> None:
    own.write_text(module)
    worker = workers.fleet.start_worker(processes=2, threads=1)
    assert workers.wait(workers.put("tests.effect", 5)) == ["succeeded"] * 5
    (line,) = lines(workers.fleet.logs(), '"children_spawned"')
    assert why in json.loads(line)["why"]
    assert template_of(worker.pid) is None
    wait_for(lambda: why in status(workers), 10, "the next heartbeat")
    own.write_text("")
    worker.send_signal(signal.SIGHUP)
    wait_for(lambda: ready(workers) == 4, 30, "two other children")
    assert template_of(worker.pid) is not None
    wait_for(lambda: why not in status(workers), 10, "the next heartbeat")


def status(workers: LedgerFleet) -> str:
    command = [str(Path(sys.executable).parent / "taskyard-worker"), "status"]
    environment = workers.fleet.environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.long
def test_what_sighup_finds_broken_is_tried_again_while_the_children_work_on(workers: LedgerFleet, own: Path) -> None:
    task = "from taskyard import task\n\n@task('own.work')\ndef work() -> int:\n    return {}\n"
    own.write_text(task.format(1))
    worker = workers.fleet.start_worker(processes=2, threads=1)
    wait_for(lambda: ready(workers) == 2, 30, "both to be ready")
    before = set(children(worker.pid))
    result: Any = None

    def works() -> int:
        (id_,) = workers.put("own.work")
        assert workers.wait([id_]) == ["succeeded"]
        return int(workers.row(id_).result)

    own.write_text("import half_installed")
    os.kill(before.copy().pop(), signal.SIGKILL)
    wait_for(lambda: ready(workers) == 3, 20, "a successor, which does not import anything")
    before = set(children(worker.pid))
    for broken, said in (
        ("import half_installed", "child_misconfigured"),
        ("import os\nos._exit(7)", "template_died"),
    ):
        own.write_text(broken)
        count = len(lines(workers.fleet.logs(), said))
        worker.send_signal(signal.SIGHUP)
        wait_for(lambda c=count, s=said: len(lines(workers.fleet.logs(), s)) > c + 1, 60, "two tries")  # type: ignore[misc]
        assert before <= set(children(worker.pid))
        assert works() == 1
    own.write_text(task.format(2))
    wait_for(lambda: not before & set(children(worker.pid)), 60, "two other children")
    result = works()
    assert result == 2
    worker.terminate()
    assert worker.wait(20) == 0


SLEEPS = """
import os, pathlib, time
from pydantic import BaseModel
from taskyard import task

class Input(BaseModel):
    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema, handler):
        if pathlib.Path(PLACE).exists():
            pathlib.Path(PLACE).write_text(str(os.getpid()))
            time.sleep(600)
        return handler(core_schema)

@task("own.sleeps")
def sleeps(params: Input) -> None: ...
"""


def test_a_schema_that_hangs_ends_with_its_template_and_another_one_is_started(
    workers: LedgerFleet, own: Path, tmp_path: Path
) -> None:
    place = tmp_path / "hangs"
    own.write_text(SLEEPS.replace("PLACE", repr(str(place))))
    workers.fleet.environment["TASKYARD_CHILD_START_SECONDS"] = "20"
    worker = workers.fleet.start_worker(processes=1, threads=1)
    wait_for(lambda: ready(workers) == 1, 30, "the child")
    place.touch()
    worker.send_signal(signal.SIGHUP)
    hangs = int(wait_for(place.read_text, 30, "the process that makes the schemas"))
    place.unlink()
    wait_for(lambda: lines(workers.fleet.logs(), '"template_stuck"'), 60, "the end of its time")
    wait_for(lambda: ready(workers) == 2, 60, "a child of the next template")
    wait_for(lambda: ends(hangs), 10, "the end of what hung")
    assert not lines(workers.fleet.logs(), '"program_left"')


def test_a_successor_of_a_killed_child_is_there_at_once(workers: LedgerFleet) -> None:
    """Compared with a start of Python on this machine, at this time."""
    worker = workers.fleet.start_worker(processes=1, threads=1)
    wait_for(lambda: ready(workers) == 1, 30, "the child")
    imports = "import sqlalchemy, dramatiq, pydantic, taskyard_worker.child.composition"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", imports], check=True)
    importing = time.monotonic() - began
    took = []
    for n in range(3):
        (child,) = wait_for(lambda: children(worker.pid), 10, "the child")
        began = time.monotonic()
        os.kill(child, signal.SIGKILL)
        wait_for(lambda n=n: ready(workers) == n + 2, 30, "its successor", every=0.002)  # type: ignore[misc]
        took.append(time.monotonic() - began)
    assert min(took) < importing, "it does not import what its template has imported"
    assert not re.search(r'"level": "(critical)"', workers.fleet.logs())
