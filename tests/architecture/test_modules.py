"""Promises about the code itself: modules and constructors stay short, objects are complete once constructed, and
importing a module does nothing."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from taskyard.domain.new_tasks import NewTask

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "taskyard_client": ROOT / "clients/python",
    "taskyard": ROOT / "shared",
    "taskyard_kits": ROOT / "kits",
    "taskyard_api": ROOT / "services/api",
    "taskyard_worker": ROOT / "services/worker",
    "taskyard_scheduler": ROOT / "services/scheduler",
    "taskyard_console": ROOT / "services/console",
    "taskyard_dev": ROOT / "devstack",
}
LONGEST = 300
LONGEST_INIT = 39  # lines, with the signature
# Where the parts of a process are made and handed to each other.
COMPOSITION_ROOTS = {"composition.py", "service.py", "jobs.py", "server.py"}
# Attributes that a function sets on what it has just made, and that wire nothing.
STATE = {
    "taskyard/catalogue/patterns.py": {"options.max_mem", "options.log_errors"},  # RE2's constructor takes no options
    "taskyard/domain/messages.py": {
        "made.template",
        "made.values",
        "made.parts",
    },  # str has no constructor that takes them
    "taskyard/domain/new_tasks.py": {f"made.{field.name}" for field in fields(NewTask)},  # a copy, made fast
    "taskyard/lifecycle/committed.py": {"done.wakes_scheduler"},  # a result that a loop collects
    "taskyard/store/async_engine.py": {"connection.patience_seconds"},
    "taskyard/store/ledger.py": {"connection.patience_seconds"},  # psycopg makes the connection
    "taskyard/telemetry/metrics.py": {"part.registry"},  # a copy that differs in this
    "taskyard_kits/geo/raster.py": {"target.colorinterp"},  # GDAL takes what bands mean once the file is there
    "taskyard_worker/child/process.py": {"timer.daemon"},  # the constructor of threading.Timer does not take it
}
# Alembic runs these itself: the one is a script, the others are made by its generator.
MIGRATIONS = Path("taskyard/store/migrations")


def modules(package: str) -> list[Path]:
    """Paths relative to the place the package lies in."""
    place = PACKAGES[package]
    found = sorted(path.relative_to(place) for path in (place / package).rglob("*.py"))
    return [path for path in found if not path.is_relative_to(MIGRATIONS)]


def trees(package: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in modules(package):
        yield path, ast.parse((PACKAGES[package] / path).read_text("utf-8"))


def constructors(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The `__init__` of every class, nested ones too, after the name of its class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                    yield node.name, member


def too_long(tree: ast.Module) -> list[str]:
    """Constructors with more lines than LONGEST_INIT."""
    lengths = {name: (init.end_lineno or 0) - init.lineno + 1 for name, init in constructors(tree)}
    return [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > LONGEST_INIT]


def declared_without_value(tree: ast.Module) -> list[str]:
    """Attributes that an `__init__` declares and leaves for others to set: `self.x: T` without a value."""
    return [
        f"{name}: {ast.unparse(node)}"
        for name, init in constructors(tree)
        for node in ast.walk(init)
        if isinstance(node, ast.AnnAssign) and node.value is None and isinstance(node.target, ast.Attribute)
    ]


def wired_afterwards(tree: ast.Module) -> list[str]:
    """Assignments to an attribute of any object but `self`."""
    targets: list[ast.expr] = []
    for node in ast.walk(tree):
        match node:
            case ast.Assign():
                targets += node.targets
            case ast.AnnAssign() | ast.AugAssign() | ast.For() | ast.AsyncFor() | ast.NamedExpr():
                targets.append(node.target)
            case ast.withitem(optional_vars=ast.expr() as target):
                targets.append(target)
            case ast.Call(func=ast.Name(id="setattr"), args=[ast.expr() as owner, *_]):
                targets.append(ast.Attribute(owner, "setattr", ast.Store()))
    return [
        ast.unparse(node)
        for target in targets
        for node in ast.walk(target)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]


def set_after_construction(tree: ast.Module) -> set[str]:
    """Attributes that a function assigns to a local name which it has assigned from a call. Counting (`+=`) and what
    Python itself reads (`__doc__`) wire nothing."""
    found: set[str] = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        made: set[str] = set()
        attributes: list[ast.Attribute] = []
        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=targets, value=value):
                    pass
                case ast.AnnAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
                    targets = [target]
                case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                    targets = [target]
                case ast.Call(func=ast.Name(id="setattr"), args=[owner, *_]):
                    value, targets = None, [ast.Attribute(owner, "setattr", ast.Store())]
                case _:
                    continue
            parts = [part for target in targets for part in ast.walk(target)]
            attributes += [
                part for part in parts if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)
            ]
            values = value.elts if isinstance(value, ast.Tuple) else [value]
            if any(isinstance(value, ast.Call | ast.Await) for value in values):
                made |= {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        found |= {
            ast.unparse(a)
            for a in attributes
            if isinstance(a.value, ast.Name) and a.value.id in made and not a.attr.startswith("__")
        }
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_longer_than_300_lines(package: str) -> None:
    lengths = {str(path): len((PACKAGES[package] / path).read_text("utf-8").splitlines()) for path in modules(package)}
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_constructor_has_fewer_than_40_lines(package: str) -> None:
    found = {str(path): too_long(tree) for path, tree in trees(package)}
    assert {path: said for path, said in found.items() if said} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_constructors_leave_no_attribute_without_a_value(package: str) -> None:
    found = {str(path): declared_without_value(tree) for path, tree in trees(package)}
    assert {path: said for path, said in found.items() if said} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_composition_roots_pass_collaborators_in_instead_of_setting_them_afterwards(package: str) -> None:
    found = {str(path): wired_afterwards(tree) for path, tree in trees(package) if path.name in COMPOSITION_ROOTS}
    assert {path: said for path, said in found.items() if said} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_pass_collaborators_in_instead_of_setting_them_on_what_they_made(package: str) -> None:
    found = {path.as_posix(): set_after_construction(tree) for path, tree in trees(package)}
    expected = {path: said for path, said in STATE.items() if path.partition("/")[0] == package}
    assert {path: said for path, said in found.items() if said} == expected


def test_every_service_has_a_composition_root() -> None:
    """The test above looks at modules that exist."""
    for package in ("taskyard_api", "taskyard_worker", "taskyard_scheduler", "taskyard_console", "taskyard_dev"):
        assert COMPOSITION_ROOTS & {path.name for path in modules(package)}, package


def test_the_check_of_constructors_sees_a_long_one() -> None:
    def class_with(lines: int) -> ast.Module:
        body = "\n".join("        self.a = 1" for _ in range(lines - 2))
        return ast.parse(f"class Part:\n    def __init__(\n        self) -> None:\n{body}\n")

    assert too_long(class_with(39)) == []
    assert too_long(class_with(40)) == ["Part: 40 lines"]


def test_the_check_of_constructors_sees_an_attribute_without_a_value() -> None:
    source = "class Part:\n    def __init__(self) -> None:\n        self.a: int = 1\n        self.b: int\n"
    assert declared_without_value(ast.parse(source)) == ["Part: self.b: int"]


@pytest.mark.parametrize(
    "line",
    [
        "broker.lane = lane",
        "broker.lane: Lane = lane",
        "broker.count += 1",
        "self.broker.lane = lane",
        "a, broker.lane = lane",
        "setattr(broker, 'lane', lane)",
    ],
)
def test_the_check_of_composition_roots_sees_wiring_after_construction(line: str) -> None:
    assert len(wired_afterwards(ast.parse(line))) == 1


@pytest.mark.parametrize("line", ["self.lane = lane", "lane = broker.lane", "lanes[broker.name] = lane"])
def test_the_check_of_composition_roots_lets_other_assignments_pass(line: str) -> None:
    assert wired_afterwards(ast.parse(line)) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("part = Part()\n    part.other = other", {"part.other"}),
        ("part: Part = make(1)\n    part.other: Other = other", {"part.other"}),
        ("with Part() as part:\n        a, part.other = b", {"part.other"}),
        ("part = await make()\n    if part:\n        setattr(part, 'other', other)", {"part.setattr"}),
        ("one, two = Part(), Part()\n    two.other = one", {"two.other"}),
        ("part = Part()\n    part.count += 1\n    part.__doc__ = text\n    given.other = part", set()),
        ("part = Part()\n    other = part.other\n    parts[part.name] = part", set()),
    ],
)
def test_the_check_of_functions_sees_what_is_set_on_an_object_just_made(body: str, expected: set[str]) -> None:
    assert set_after_construction(ast.parse(f"async def build():\n    {body}\n")) == expected


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
        # The module that asks, not one that imported a library which asks.
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


# urllib3 asks the kernel whether there is IPv6. The first module is imported only where the storage is a bucket, the
# others only by processes that draw a panel or make a raster (rasterio imports boto3 where it is there).
_OF_LIBRARIES = {
    "taskyard.storage.s3: socket.bind",
    "taskyard_kits.selection.failures: socket.bind",
    "taskyard_kits.geo.bands: socket.bind",
}


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
    assert set(json.loads(done.stdout.splitlines()[-1])) <= _OF_LIBRARIES
    assert not list(tmp_path.iterdir())


def test_the_check_of_imports_sees_what_an_import_does(tmp_path: Path) -> None:
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
def test_publishers_come_from_make_publisher_which_bounds_their_sockets(package: str) -> None:
    """A slow Redis must not hold up what publishes to it."""
    made = re.compile(r"\bPublisher\(")
    own = [str(path) for path in modules(package) if made.search((PACKAGES[package] / path).read_text("utf-8"))]
    assert own == []
