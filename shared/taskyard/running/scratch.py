"""Scratch: the temporary directory of one attempt."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path


class Scratch:
    """`<above>/<name>`, made when it is first asked for; the parts of the name are put together then. `above` has to be
    there; None: there is none."""

    __slots__ = ("_above", "_is_made", "_name")

    def __init__(self, above: Path | None, *name: object) -> None:
        self._above = above
        self._name = name
        self._is_made = False

    @property
    def is_made(self) -> bool:
        return self._is_made

    def path(self) -> Path:
        """Raises OSError where it cannot be made."""
        if self._above is None:
            raise FileNotFoundError("this process has no directory for temporary files")
        path = self._path_in(self._above)
        # Before it is there: what is made is removed, also where an interrupt comes in between.
        self._is_made = True
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def remove(self) -> None:
        """With all that is in it. What cannot be removed now goes with the child's directory."""
        if self._is_made and self._above is not None:
            remove_tree(self._path_in(self._above))

    def _path_in(self, above: Path) -> Path:
        return above / "-".join(map(str, self._name))


def remove_tree(path: Path) -> None:
    """As far as this user may. Links are removed and not followed."""
    shutil.rmtree(path, ignore_errors=True)
    if not path.is_dir():
        return
    # A task may have taken the rights from its own directories.
    for above, directories, _ in os.walk(path):
        for name in (above, *(os.path.join(above, name) for name in directories)):  # noqa: PTH118 - of strings
            with suppress(OSError):
                if not os.path.islink(name):  # noqa: PTH114 - a string
                    os.chmod(name, 0o700)  # noqa: PTH101 - a string
    shutil.rmtree(path, ignore_errors=True)
