"""The process that draws: it ends with its task, has its memory and no more, and its end is told."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from taskyard import TaskContext, TaskError
from taskyard.domain.errors import TaskCancelled
from taskyard.domain.ids import new_id
from taskyard_kits.selection.declarations import SelectionParams
from taskyard_kits.selection.draws import draw as draw_panel
from taskyard_kits.selection.settings import SelectionSettings
from taskyard_kits.selection.tables import Table
from tests.kits.selection import pools
from tests.kits.selection.conftest import Draw

ROOT = Path(__file__).parents[3]
NASH = SelectionParams(number_to_select=60, id_column="id", selection_algorithm="nash")


def table(rows: list[dict[str, str]]) -> Table:
    return Table(list(rows[0]), [list(row.values()) for row in rows])


MANY, QUOTAS = table(pools.people(600)), table(pools.targets(60, 0.03))


class Context:
    """What a draw needs of a task's context. `check` is called a few times a second."""

    shield: AbstractContextManager[None] = nullcontext()

    def __init__(self, temp_dir: Path, check: Any = lambda: None, memory_mib: int = 2048) -> None:
        self.temp_dir = temp_dir
        self.check_cancelled = check
        self.settings = SelectionSettings(selection_memory_mib=memory_mib)
        self.memory_bytes: int | None = None
        self.told: list[Any] = []

    def progress(self, *told: Any) -> None:
        self.told.append(told)

    def log(self, line: str, **_: Any) -> None:
        self.told.append((line,))


def drawing(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children() if any("selection.drawing" in part for part in child.cmdline())]


def test_a_draw_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    seen: list[psutil.Process] = []

    def check() -> None:
        if context.told:  # it draws
            seen.extend(drawing(psutil.Process()))
            raise TaskCancelled

    context = Context(tmp_path, check)
    with pytest.raises(TaskCancelled):
        draw_panel(MANY, QUOTAS, NASH, 1, cast(TaskContext, context))
    assert seen
    assert not any(process.is_running() for process in seen)


def test_a_process_that_is_killed_is_told_and_the_draw_tried_again(tmp_path: Path) -> None:
    def kill() -> None:
        if context.told:
            for process in drawing(psutil.Process()):
                process.kill()

    context = Context(tmp_path, kill)
    with pytest.raises(TaskError) as raised:
        draw_panel(MANY, QUOTAS, NASH, 1, cast(TaskContext, context))
    assert (raised.value.code, raised.value.retryable) == ("draw_died", True)
    assert raised.value.values == {"cause": {"phrase": "signal", "signal": "SIGKILL"}}


def test_lines_that_are_left_out_of_the_log_are_counted_before_the_draw_ends(tmp_path: Path) -> None:
    """Legacy logs each attempt, and can succeed in none: each man takes one of the two women with him, and it cannot
    select the last one."""
    people = table([{"id": f"{g}{s}", "gender": g, "street": s} for g in ("male", "female") for s in ("A", "B")])
    quotas = table([{"feature": "gender", "value": g, "min": "1", "max": "1"} for g in ("male", "female")])
    address = {"check_same_address": True, "check_same_address_columns": ["street"]}
    legacy = {"selection_algorithm": "legacy", "max_attempts": 2_000}
    params = SelectionParams.model_validate({"number_to_select": 2, "id_column": "id", **legacy, **address})
    context = Context(tmp_path)
    with pytest.raises(TaskError, match="selection_failed"):
        draw_panel(people, quotas, params, 1, cast(TaskContext, context))
    logged = [told[0] for told in context.told if len(told) == 1]
    left_out = sum(int(line[1:].split()[0]) for line in logged if line.endswith(" lines left out)"))
    assert left_out > 0
    assert left_out + sum("rial" in line for line in logged) >= 2_000


@pytest.mark.parametrize(("mib", "letters"), [(100, 1), (160, 1_000)], ids=["before it starts", "while it draws"])
def test_a_draw_that_needs_more_memory_than_it_may_have_says_so(tmp_path: Path, mib: int, letters: int) -> None:
    people = pools.people(10_000)
    for person in people:
        person["name"] = "\U0001f600" * letters
    context = Context(tmp_path)
    context.memory_bytes = (384 + mib) * 2**20
    with pytest.raises(TaskError) as raised:
        draw_panel(table(people), QUOTAS, NASH, 1, cast(TaskContext, context))
    assert (raised.value.code, raised.value.values["limit"]) == ("draw_needs_memory", mib)


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that starts a draw as a task does, and waits."""
    request = tmp_path / "request"
    params = NASH.model_dump(mode="json")
    values = {"people": asdict(MANY), "quotas": asdict(QUOTAS), "params": params, "seed": 1}
    request.write_text(json.dumps(values))
    code = (
        "import os, subprocess, sys, time; r, w = os.pipe(); given = [str(w), str(os.getpid()), '2000000000'];"
        "subprocess.Popen([sys.executable, '-m', 'taskyard_kits.selection.drawing', *given],"
        " stdin=open(sys.argv[1]), stdout=subprocess.DEVNULL, pass_fds=[w]);"
        " os.read(r, 1); print('draws', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(request)], stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_draw_ends_with_the_process_that_wants_it(parent: subprocess.Popen[bytes]) -> None:
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"draws\n"
    (child,) = drawing(psutil.Process(parent.pid))
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs([child], timeout=20)
    assert not alive


def test_another_attempt_finds_what_was_drawn(draw: Draw) -> None:
    task = new_id()
    wish: dict[str, Any] = {"number": 6, "selection_algorithm": "legacy", "task_id": task}
    first = draw(pools.people(24), pools.targets(6, 0.3), **wish)
    again = draw(pools.people(24), pools.targets(6, 0.3), **wish)
    assert again.result == first.result
    assert again.logs == ["An earlier attempt drew the panel already."]


_IN_A_CONTAINER = """
import sys
from pathlib import Path
from tests.kits.selection.test_processes import NASH, Context, table
from tests.kits.selection import pools
from taskyard_kits.selection.draws import draw

params = NASH.model_copy(update={"number_to_select": 20})
panel = draw(table(pools.people(100)), table(pools.targets(20, 0.1)), params, 1, Context(Path(sys.argv[1])))
print(len(panel.selected))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change the account")
@pytest.mark.long
def test_an_account_without_a_name_and_a_home_draws_as_in_a_container(tmp_path: Path) -> None:
    """The capability lets it read an interpreter below the home of root."""
    tmp_path.chmod(0o777)
    account = ["setpriv", "--reuid=54321", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    command = [*account, sys.executable, "-c", _IN_A_CONTAINER, str(tmp_path)]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"]}, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "20\n", done.stderr
