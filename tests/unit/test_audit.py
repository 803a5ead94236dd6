"""`make audit` says so where the service of vulnerabilities was not asked: pip-audit itself ends well then."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "audit" / "vulnerabilities.py"
CLEAN = {"name": "alembic", "version": "1.0", "vulns": []}
FAULTY = {"name": "jinja2", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.1"]}]}
SKIPPED = {"name": "redis", "skip_reason": "Dependency not found on PyPI"}


def audited(directory: Path, *answers: list[dict[str, Any]] | None) -> subprocess.CompletedProcess[str]:
    """With a `pip_audit` that answers so for one lock after the other; None: it fails."""
    locks = [directory / f"{number}.txt" for number in range(len(answers))]
    for lock, packages in zip(locks, answers, strict=True):
        lock.write_text("" if packages is None else json.dumps({"dependencies": packages}))
    (directory / "pip_audit.py").write_text(
        "import sys\n"
        "text = open(sys.argv[sys.argv.index('--requirement') + 1]).read()\n"
        "sys.exit(print(text) if text else 'ConnectionError: no such host')\n"
    )
    return subprocess.run(
        [sys.executable, SCRIPT, "pypi", *locks],
        env={"PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("answers", "code", "says"),
    [
        ([[CLEAN], [CLEAN]], 0, "0.txt: nothing known of 1 packages"),
        ([[CLEAN, FAULTY], [SKIPPED]], 1, "0.txt: jinja2 2.0: PYSEC-1, fixed in 3.1"),
        ([[CLEAN], [CLEAN, SKIPPED]], 3, "1.txt: NOT ASKED: pypi does not know 1 of 2: redis"),
        ([[]], 3, ""),
        ([[CLEAN], None], 3, "1.txt: NOT ASKED: pip-audit ended with 1: ConnectionError: no such host"),
    ],
)
def test_only_an_answer_for_every_package_is_success(
    answers: list[list[dict[str, Any]] | None], code: int, says: str, tmp_path: Path
) -> None:
    done = audited(tmp_path, *answers)
    assert done.returncode == code, done.stderr
    assert says in done.stdout
