"""Promises about the code itself: modules stay short, and importing one does nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "taskyard": ROOT / "shared",
    "taskyard_api": ROOT / "services/api",
    "taskyard_worker": ROOT / "services/worker",
    "taskyard_scheduler": ROOT / "services/scheduler",
    "taskyard_dev": ROOT / "devstack",
}
LONGEST = 400
# Alembic runs these itself: the one is a script, the others are made by its generator.
MIGRATIONS = Path("taskyard/store/migrations")


def modules(package: str) -> list[Path]:
    """Paths relative to the place the package lies in."""
    place = PACKAGES[package]
    found = sorted(path.relative_to(place) for path in (place / package).rglob("*.py"))
    return [path for path in found if not path.is_relative_to(MIGRATIONS)]


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_are_short_enough_to_be_read_at_once(package: str) -> None:
    lengths = {str(path): len((PACKAGES[package] / path).read_text("utf-8").splitlines()) for path in modules(package)}
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


_IMPORT = """
import importlib, json, os, sys, threading

packages = tuple(json.loads(sys.argv[1]))
said = set()


def culprit():
    frame = sys._getframe(2)
    while frame:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in packages:
            return module
        frame = frame.f_back
    return None


def watch(event, arguments):
    touches = event.startswith(("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.", "os.mkdir"))
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if (touches or writes) and (module := culprit()):
        said.add(f"{module}: {event}")


def start(thread, start=threading.Thread.start):
    if module := culprit():
        said.add(f"{module}: starts a thread")
    start(thread)


class Watched(dict):
    def __getitem__(self, key):
        if (module := self.reader()):
            said.add(f"{module}: reads {key} from the environment")
        return super().__getitem__(key)

    def get(self, key, default=None):
        return self[key] if key in self else default

    def __contains__(self, key):
        if (module := self.reader()):
            said.add(f"{module}: asks for {key} in the environment")
        return super().__contains__(key)

    def reader(self):
        # Whoever asks, not whoever imported a library that asks.
        frame = sys._getframe(2)
        while frame and frame.f_globals.get("__name__") in {"__main__", "os"}:
            frame = frame.f_back
        module = frame.f_globals.get("__name__", "") if frame else ""
        return module if module.partition(".")[0] in packages else None


os.environ = Watched()
sys.dont_write_bytecode = True
sys.addaudithook(watch)
threading.Thread.start = start
for name in json.loads(sys.argv[2]):
    importlib.import_module(name)
print(json.dumps(sorted(said)))
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_module_touches_no_server_no_file_and_no_environment(package: str, tmp_path: Path) -> None:
    names = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in modules(package)
        if path.name != "__main__.py"
    ]
    done = subprocess.run(
        [sys.executable, "-I", "-c", _IMPORT, json.dumps(list(PACKAGES)), json.dumps(names)],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert not list(tmp_path.iterdir())


def test_the_watch_does_see_who_does_something_when_imported(tmp_path: Path) -> None:
    """The test above can fail."""
    bad = tmp_path / "taskyard_bad.py"
    bad.write_text(
        "import os, socket, threading\n"
        "os.environ.get('DATABASE_URL')\n"
        "try: socket.create_connection(('127.0.0.1', 1), 0.1)\n"
        "except OSError: pass\n"
        "threading.Thread(target=print).start()\n"
        f"open({str(tmp_path / 'left')!r}, 'w').close()\n"
    )
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{_IMPORT}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, '["taskyard_bad"]', '["taskyard_bad"]'],
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert [what.removeprefix("taskyard_bad: ") for what in said] == [
        "asks for DATABASE_URL in the environment",
        "open",
        "socket.connect",
        "socket.getaddrinfo",
        "starts a thread",
    ]


@pytest.mark.parametrize("package", ["taskyard_api", "taskyard_worker", "taskyard_scheduler"])
def test_whoever_publishes_gives_up_soon(package: str) -> None:
    """Redis slow is not Redis down: publishers come from `make_publisher`, which bounds their sockets."""
    made = re.compile(r"\bPublisher\(")
    own = [str(path) for path in modules(package) if made.search((PACKAGES[package] / path).read_text("utf-8"))]
    assert own == []
