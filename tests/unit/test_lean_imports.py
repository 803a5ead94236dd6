"""Services start without what their libraries would only import because it is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

# What starts first in each process, and what it has no use for.
_PROCESSES = {
    "the worker": "taskyard_worker.cli, taskyard_worker.supervisor.composition, taskyard_worker.child.template",
    "a template": "taskyard_worker.child.template, taskyard.outbound.client",
    "a child": "taskyard_worker.child.process, taskyard.outbound.client",
    "the API": "taskyard_api.cli, taskyard_api.composition",
    "the scheduler": "taskyard_scheduler.cli, taskyard_scheduler.composition",
    "the console": "taskyard_console.cli, taskyard_console.composition",
}
_LEFT_OUT = "{'alembic', 'attr', 'click', 'mako', 'opentelemetry', 'psutil', 'pygments', 'rich', 'sqlalchemy.orm'}"


def _printed(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


@pytest.mark.parametrize("process", _PROCESSES)
def test_a_process_does_not_load_what_it_does_not_use(process: str) -> None:
    assert _printed(f"import sys, {_PROCESSES[process]}; print(*sorted({_LEFT_OUT} & sys.modules.keys()))") == ""


def test_what_is_left_out_can_be_imported_by_task_modules() -> None:
    code = (
        "import taskyard_worker, structlog, redis, httpx;"
        "import rich.console, opentelemetry.sdk.metrics, click;"
        "print(structlog.dev.rich, rich.console.Console.__name__)"
    )
    assert _printed(code) == "None Console"


def test_a_library_is_imported_whole_where_another_thread_could_import_as_well() -> None:
    code = (
        "import threading, taskyard_worker;"
        "end = threading.Event(); threading.Thread(target=end.wait).start();"
        "import structlog; end.set(); print(structlog.dev.rich.__name__)"
    )
    assert _printed(code) == "rich"


def test_programs_that_only_import_taskyard_get_their_libraries_whole() -> None:
    assert _printed("import taskyard, structlog; print(structlog.dev.rich.__name__)") == "rich"
