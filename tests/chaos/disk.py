"""A small disk of its own for the storage, so that it can be filled without anybody else's harm.

Mounting one needs the right to mount, which root has, and everybody in a user namespace of their own where the kernel
allows those: there the whole program is started again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MEGABYTES = 16
_INSIDE = "TASKYARD_CHAOS_NAMESPACE"
_UNSHARE = ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"]


class SmallDisk:
    """Mounted at `path` where that can be had; otherwise a plain directory that cannot be filled."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.is_mounted = _succeeds("mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "taskyard-chaos", str(path))
        path.chmod(0o700)
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Nobody can write anything more."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\xa5" * 65536)
            except OSError:
                pass

    def empty(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        if self.is_mounted:
            _succeeds("umount", "--lazy", str(self.path))


def enter_namespace() -> None:
    """Starts this program again where it may mount, if that is needed and can be had."""
    if os.geteuid() == 0 or _INSIDE in os.environ or not _succeeds(*_UNSHARE, "true"):
        return
    os.environ[_INSIDE] = "1"
    os.execvp(_UNSHARE[0], [*_UNSHARE, sys.executable, "-m", "tests.chaos", *sys.argv[1:]])


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
    except OSError:
        return False
