"""Failpoints: known by name, free where nothing is armed, and fatal once."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

from taskyard.failpoints import PLACES

ROOT = Path(__file__).parents[2]
_VISIT = """
import sys
from pathlib import Path
from taskyard.failpoints import arm, failpoint

arm([sys.argv[1]], Path(sys.argv[2]))
for visit in range(3):
    failpoint("claim.before")
    failpoint("claim.after")
    print("visit", visit + 1, flush=True)
"""


def visit(armed: str, directory: Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _VISIT, armed, directory], capture_output=True, text=True, check=False, timeout=30
    )
    return done.returncode, done.stdout.splitlines()


def test_the_nth_visit_kills_and_the_next_process_goes_on(tmp_path: Path) -> None:
    assert visit("claim.after:2", tmp_path / "new") == (-signal.SIGKILL, ["visit 1"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["claim.after"]
    assert visit("claim.after:2", tmp_path / "new") == (0, ["visit 1", "visit 2", "visit 3"])


def places_in(source: str) -> set[str]:
    """Of `failpoint("x")`: x. `commit` has one before and one after its transaction, where it is given a name."""
    found = set()
    for call in ast.walk(ast.parse(source)):
        match call:
            case ast.Call(func=ast.Name(id="failpoint"), args=[ast.Constant(value=str(place))]):
                found.add(place)
            case ast.Call(func=ast.Name(id="commit") | ast.Attribute(attr="commit" | "_commit" | "_patiently")):
                for keyword in call.keywords:
                    match keyword:
                        case ast.keyword(arg="name", value=ast.Constant(value=str(name))):
                            found |= {f"{name}.before", f"{name}.after"}
    return found


def test_every_named_place_is_in_the_code_and_every_place_in_the_code_is_named() -> None:
    sources = [path for part in ("shared", "services", "kits") for path in (ROOT / part).rglob("*.py")]
    assert set().union(*(places_in(path.read_text("utf-8")) for path in sources)) == PLACES


def test_the_search_finds_calls_that_are_broken_over_lines() -> None:
    assert places_in('commit(\n    run(f()),\n    verb,\n    name="claim",\n)') == {"claim.before", "claim.after"}
    assert places_in('failpoint(\n    "effect.before"\n)') == {"effect.before"}
