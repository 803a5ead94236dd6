"""Which kits the children of a real worker import, and what happens when they cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

import taskyard_kits
from tests.integration.worker.processes import LedgerFleet, lines
from tests.support.fleet import children, wait_for
from tests.support.packages import install

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TASK = """
from taskyard import task

@task("own.work")
def work() -> int:
    return 1
"""


def modules_of_a_child(workers: LedgerFleet, queue: str) -> set[str]:
    workers.fleet.environment["TASKYARD_TASK_MODULES"] = "tests.support.module_list"
    workers.fleet.environment["TASKYARD_DIAGNOSTICS"] = ""
    workers.fleet.start_worker(queues=queue)
    (task,) = workers.put("tests.modules", queue=queue)
    assert workers.wait([task]) == ["succeeded"]
    return set(workers.row(task).result)


def test_a_child_imports_nothing_of_the_kits_of_other_queues(workers: LedgerFleet) -> None:
    loaded = modules_of_a_child(workers, "billing")
    assert {name for name in loaded if name.startswith("taskyard_kits.")} == {
        f"taskyard_kits.{path.parent.name}" for path in Path(taskyard_kits.__file__).parent.glob("*/__init__.py")
    }, "of each kit the manifest only"
    assert loaded.isdisjoint({"jinja2", "PIL", "rasterio", "reportlab", "smtplib"})


def test_a_child_that_serves_default_imports_nothing_of_a_kit_that_only_other_queues_use(
    workers: LedgerFleet, tmp_path: Path
) -> None:
    install(
        use(workers, tmp_path), "acme-maps",
        {
            "acme_maps.manifest": "from taskyard import Kit\n"
            "KIT = Kit('maps', ('acme_maps.tasks',), queues=('maps',))\n",
            "acme_maps.tasks": "import acme_maps.library\n" + TASK,
            "acme_maps.library": "",
        },
        kits={"maps": "acme_maps.manifest:KIT"},
    )  # fmt: skip
    ours = {name for name in modules_of_a_child(workers, "default") if name.startswith("acme_maps")}
    assert ours == {"acme_maps", "acme_maps.manifest"}
    theirs = {name for name in modules_of_a_child(workers, "maps") if name.startswith("acme_maps")}
    assert theirs == ours | {"acme_maps.tasks", "acme_maps.library"}


def test_a_child_imports_the_kits_of_its_queues_without_the_libraries_that_only_some_tasks_need(
    workers: LedgerFleet,
) -> None:
    loaded = modules_of_a_child(workers, "default")
    assert {"taskyard_kits.mail.tasks", "taskyard_kits.files.tasks"} <= loaded
    assert loaded.isdisjoint({"jinja2", "PIL", "turbohtml", "defusedxml", "openpyxl", "typst"})
    assert "taskyard_kits.diagnostics.tasks" not in loaded


def test_a_worker_whose_queues_no_kit_serves_waits_without_an_error(workers: LedgerFleet) -> None:
    workers.fleet.environment["TASKYARD_TASK_MODULES"] = ""
    workers.fleet.environment["TASKYARD_DIAGNOSTICS"] = ""
    worker = workers.fleet.start_worker(queues="apart", has_types=False)
    (task,) = workers.put("email.send", queue="apart")
    wait_for(lambda: workers.row(task).state == "scheduled", 20, "it to be put off")
    assert worker.poll() is None
    assert lines(workers.fleet.logs(), '"level": "error"') == []


def use(workers: LedgerFleet, tmp_path: Path) -> Path:
    """A directory of packages that the workers import from."""
    place = tmp_path / "packages"
    place.mkdir()
    workers.fleet.environment["PYTHONPATH"] += f"{os.pathsep}{place}"
    workers.fleet.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return place


def test_a_kit_whose_library_is_missing_is_named_once_and_stops_nothing(workers: LedgerFleet, tmp_path: Path) -> None:
    modules = {
        "billing_kit.manifest": "from taskyard import Kit\nKIT = Kit('billing', ('billing_kit.tasks',))\n",
        "billing_kit.tasks": "import no_such_library\n",
    }
    kits = {"billing": "billing_kit.manifest:KIT"}
    install(use(workers, tmp_path), "acme-billing", modules, kits=kits, extras="billing")
    workers.fleet.start_worker(processes=3)
    assert set(workers.wait(workers.put("tests.effect", 6))) == {"succeeded"}
    wait_for(lambda: lines(workers.fleet.logs(), "no_such_library"), 20, "the line about the kit")
    (line,) = lines(workers.fleet.logs(), "no_such_library")
    said = json.loads(line)
    assert (said["event"], said["level"]) == ("kit_left_out", "warning")
    assert (said["kit"], said["module"], said["install"]) == (
        "billing",
        "billing_kit.tasks",
        "acme-billing[billing]",
    )


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def start_with(workers: LedgerFleet, place: Path) -> subprocess.Popen[bytes]:
    (place / "own_work.py").write_text(TASK)
    workers.fleet.environment["TASKYARD_TASK_MODULES"] = "own_work"
    worker = workers.fleet.start_worker(processes=2)
    assert workers.wait(workers.put("own.work")) == ["succeeded"]
    wait_for(lambda: len(lines(workers.fleet.logs(), '"child_ready"')) == 2, 30, "both children")
    return worker


# Each child imports what is installed when it starts. What a template brings is in test_template.py.
SPAWN = {"TASKYARD_WORKER_CHILDREN": "spawn"}
KIT = {
    "own_kit.manifest": (
        "from taskyard import Kit\nKIT = Kit('own', ('own_kit.tasks',), settings='own_kit.settings:Own')\n"
    ),
    "own_kit.settings": "from pydantic_settings import BaseSettings\nclass Own(BaseSettings):\n    pass\n",
    "own_kit.tasks": TASK,
}


@pytest.mark.parametrize(
    ("module", "broken", "said"),
    [
        ("tasks", "import own_kit.half_installed", "child_misconfigured"),
        pytest.param("tasks", "def half(:", "child_misconfigured", marks=pytest.mark.long),
        pytest.param("tasks", "exit()", "child_misconfigured", marks=pytest.mark.long),
        pytest.param("tasks", "memory = bytearray(1 << 60)", "child_misconfigured", marks=pytest.mark.long),
        pytest.param("tasks", "import os\nos._exit(0)", "child_died", marks=pytest.mark.long),
        ("tasks", "import os\nos.kill(os.getpid(), 9)", "child_died"),
        pytest.param("tasks", "import time\ntime.sleep(600)", "child_stuck", marks=pytest.mark.long),
        pytest.param(
            "settings",
            "from pydantic_settings import BaseSettings\nclass Own(BaseSettings):\n    url: str\n",
            "misconfigured",
            marks=pytest.mark.long,
        ),
    ],
    ids=["import", "syntax", "exit", "memory", "os._exit", "signal", "hang", "settings"],
)
def test_however_a_child_fails_to_start_after_an_update_its_sibling_works_on_and_it_is_tried_again(
    workers: LedgerFleet, tmp_path: Path, module: str, broken: str, said: str
) -> None:
    place = use(workers, tmp_path)
    install(place, "own-kit", KIT, kits={"own": "own_kit.manifest:KIT"})
    workers.fleet.environment |= {"TASKYARD_KITS": "own", "TASKYARD_CHILD_START_SECONDS": "8", **SPAWN}
    worker = workers.fleet.start_worker(processes=2)
    assert workers.wait(workers.put("own.work")) == ["succeeded"]
    wait_for(lambda: len(lines(workers.fleet.logs(), '"child_ready"')) == 2, 30, "both children")
    lost, sibling = children(worker.pid)
    file = place / "own_kit" / f"{module}.py"
    whole = file.read_text()
    file.write_text(broken)
    kill(lost)
    wait_for(lambda: len(lines(workers.fleet.logs(), said)) >= (3 if said == "child_died" else 2), 60, "two tries")
    assert worker.poll() is None
    assert sibling in children(worker.pid)
    assert set(workers.wait(workers.put("own.work", 5))) == {"succeeded"}
    file.write_text(whole)
    kill(sibling)
    assert set(workers.wait(workers.put("own.work", 5), 60)) == {"succeeded"}
    wait_for(lambda: len(children(worker.pid)) == 2, 30, "both children")
    worker.terminate()
    assert worker.wait(40) == 0


@pytest.mark.long
def test_a_child_that_misses_a_library_after_an_update_takes_no_type_from_its_sibling(
    workers: LedgerFleet, tmp_path: Path
) -> None:
    place = use(workers, tmp_path)
    install(place, "own-kit", KIT, kits={"own": "own_kit.manifest:KIT"})
    workers.fleet.environment |= {"TASKYARD_KITS": "own", **SPAWN}
    worker = workers.fleet.start_worker(processes=2)
    assert workers.wait(workers.put("own.work")) == ["succeeded"]
    wait_for(lambda: len(lines(workers.fleet.logs(), '"child_ready"')) == 2, 30, "both children")
    lost, sibling = children(worker.pid)
    (place / "own_kit" / "tasks.py").write_text("import half_installed.library")
    kill(lost)
    wait_for(lambda: lines(workers.fleet.logs(), '"child_misconfigured"', "half_installed"), 30, "its successor")
    assert sibling in children(worker.pid)
    assert set(workers.wait(workers.put("own.work", 20), 60)) == {"succeeded"}


@pytest.mark.long
def test_a_child_that_cannot_import_after_an_update_stops_no_sibling_and_is_tried_again(
    workers: LedgerFleet, tmp_path: Path
) -> None:
    place = use(workers, tmp_path)
    workers.fleet.environment |= SPAWN
    worker = start_with(workers, place)
    lost, sibling = children(worker.pid)
    (place / "own_work.py").write_text("import half_installed\n")
    kill(lost)
    wait_for(lambda: len(lines(workers.fleet.logs(), "child_misconfigured", "half_installed")) >= 2, 30, "two tries")
    assert worker.poll() is None
    assert sibling in children(worker.pid)
    assert set(workers.wait(workers.put("own.work", 5))) == {"succeeded"}
    failures = len(lines(workers.fleet.logs(), "child_misconfigured"))
    assert failures < 8, "it is tried again after a pause that grows"
    (place / "own_work.py").write_text(TASK)
    kill(sibling)
    assert set(workers.wait(workers.put("own.work", 5), 60)) == {"succeeded"}
    wait_for(lambda: len(children(worker.pid)) == 2, 30, "both children")
    worker.terminate()
    assert worker.wait(40) == 0
