"""Failpoints: known by name, free where nothing is armed, and fatal once."""

import re
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


def test_every_named_place_is_in_the_code_and_every_place_in_the_code_is_named() -> None:
    sources = [path for part in ("shared", "services") for path in (ROOT / part).rglob("*.py")]
    used = set()
    for text in (path.read_text("utf-8") for path in sources):
        used |= set(re.findall(r'\bfailpoint\("([^"]+)"\)', text))
        # `commit` has one before and one after the transaction.
        named = re.findall(r'(?:commit|_patiently)\([^;]{0,200}?\bname="(\w+)"', text, re.DOTALL)
        used |= {f"{name}.{side}" for name in named for side in ("before", "after")}
    assert used == PLACES
