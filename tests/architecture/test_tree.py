"""Promises about what the repository holds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What downloads, builds and runs leave behind.
_LEFTOVERS = frozenset({".gz", ".zip", ".whl", ".log", ".pid", ".part"})


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a copy without its history")
def test_the_repository_holds_no_leftovers() -> None:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    files = done.stdout.rstrip("\0").split("\0")
    assert "README.md" in files
    assert [file for file in files if Path(file).suffix in _LEFTOVERS] == []
