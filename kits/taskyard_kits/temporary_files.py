"""Temporary files past their age, in the directory of the worker's tasks.

What is below `attempts` belongs to attempts: it stays while its worker lives, whatever its age, and goes with it. Every
step goes by descriptors of directories that were opened without following a link.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import Field

from taskyard import TaskContext, TaskError
from taskyard.catalogue.words import Words
from taskyard.domain.retry import VALIDATION
from taskyard.running.attempt_dirs import ATTEMPTS, hold, worker_of
from taskyard.settings_groups import KitSettings, names
from taskyard.storage.local import overlap

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KEPT = frozenset({ATTEMPTS, "failpoints"})
# Each level holds a descriptor.
MAX_DEPTH = 50

FINAL = VALIDATION.of("temp_dir_overlaps", "temp_dir_unusable")
ERRORS: dict[str, Words] = {
    "temp_dir_overlaps": {
        "en": "Nothing was removed: TASKYARD_TEMP_DIR of the worker is, holds or lies in the directory of the storage,"
        " and stored files are no temporary ones. Choose another directory for one of them.",
        "de": "Nichts wurde gelöscht: TASKYARD_TEMP_DIR des Workers ist das Verzeichnis der Ablage, enthält es oder"
        " liegt darin, und abgelegte Dateien sind keine temporären. Wählen Sie für eines ein anderes Verzeichnis.",
        "fr": "Rien n'a été supprimé : TASKYARD_TEMP_DIR du worker est le répertoire du stockage, le contient ou s'y"
        " trouve, et les fichiers enregistrés ne sont pas temporaires. Choisissez un autre répertoire pour l'un d'eux.",
        "hu": "Semmi sem törlődött: a worker TASKYARD_TEMP_DIR könyvtára azonos a tároló könyvtárával, tartalmazza azt,"
        " vagy benne van, a tárolt fájlok pedig nem ideiglenesek. Válasszon az egyiküknek másik könyvtárat.",
    },
    "temp_dir_unusable": {
        "en": "TASKYARD_TEMP_DIR of the worker is no directory, or the worker may not read it. Correct the setting or"
        " the permissions, and retry the task.",
        "de": "TASKYARD_TEMP_DIR des Workers ist kein Verzeichnis, oder der Worker darf es nicht lesen. Berichtigen Sie"
        " die Einstellung oder die Rechte, und wiederholen Sie die Aufgabe.",
        "fr": "TASKYARD_TEMP_DIR du worker n'est pas un répertoire, ou le worker ne peut pas le lire. Corrigez le"
        " réglage ou les droits, et relancez la tâche.",
        "hu": "A worker TASKYARD_TEMP_DIR beállítása nem könyvtár, vagy a worker nem olvashatja. Javítsa a beállítást"
        " vagy a jogosultságokat, és indítsa újra a feladatot.",
    },
}


class TemporaryFileSettings(KitSettings):
    temp_dir: Path = Field(
        default=Path("temp"),
        description="The directory of the worker's tasks.",
        validation_alias=names("TEMP_DIR", "TEMP_DIR"),
    )
    temp_file_max_age_hours: float = Field(
        default=24.0, gt=0, le=24 * 365, description="Older files in TASKYARD_TEMP_DIR are removed."
    )


class Removal:
    """Removes and counts, within one file system. `files` is how many went so far; `dry_run`: how many would have."""

    def __init__(self, context: TaskContext, *, dry_run: bool = False) -> None:
        self._context = context
        self._dry_run = dry_run
        self._device = 0
        self.files = 0

    def remove_old(self, settings: TemporaryFileSettings, *, now: Callable[[], float] = time.time) -> None:
        """Removes files that nobody has written or changed for so long, directories that are empty then, and all that
        dead workers left. What may not be removed stays. Raises TaskError `temp_dir_overlaps`, `temp_dir_unusable`."""
        stored = self._context.storage.directory
        if stored is not None and overlap(settings.temp_dir, stored):
            raise TaskError("temp_dir_overlaps", retryable=False)
        try:
            opened = os.open(settings.temp_dir, _DIRECTORY)
        except FileNotFoundError:
            return
        except (NotADirectoryError, PermissionError) as e:
            raise TaskError("temp_dir_unusable", retryable=False) from e
        with _closed(opened) as root:
            self._device = os.fstat(root).st_dev
            self._empty(root, before=now() - settings.temp_file_max_age_hours * 3600, keep=_KEPT)
            with suppress(OSError), _opened(ATTEMPTS, _DIRECTORY | os.O_NOFOLLOW, root) as attempts:
                self._remove_dead_workers(attempts)

    def _remove_dead_workers(self, attempts: int) -> None:
        for lock in os.listdir(attempts):
            worker = worker_of(lock)
            if worker is None:
                continue
            # Where its worker lives, it holds the lock.
            with suppress(OSError), _closed(hold(lock, make=False, dir_fd=attempts)):
                with suppress(FileNotFoundError):
                    self._remove_tree(attempts, worker)
                self._unlink(lock, attempts)

    def _empty(self, directory: int, *, before: float, keep: frozenset[str] = frozenset(), depth: int = 0) -> None:
        with os.scandir(directory) as entries:
            for entry in entries:
                self._context.check_cancelled()
                if entry.name not in keep:
                    with suppress(OSError):  # gone meanwhile, of another account, or not empty
                        self._remove(directory, entry.name, before, depth)

    def _remove_tree(self, above: int, name: str) -> None:
        """With all that is in it. Raises OSError where something stays."""
        with _opened(name, _DIRECTORY | os.O_NOFOLLOW, above) as directory:
            self._empty(directory, before=float("inf"))
        self._rmdir(name, above)

    def _remove(self, above: int, name: str, before: float, depth: int) -> None:
        found = os.stat(name, dir_fd=above, follow_symlinks=False)
        # The later of both: what was unpacked or moved here has an old time of writing.
        is_old = max(found.st_mtime, found.st_ctime) < before
        if not stat.S_ISDIR(found.st_mode):
            if is_old:
                self._unlink(name, above)
                self.files += 1
        elif found.st_dev == self._device and depth < MAX_DEPTH:
            with _opened(name, _DIRECTORY | os.O_NOFOLLOW, above) as directory:
                self._empty(directory, before=before, depth=depth + 1)
            if is_old:
                self._rmdir(name, above)

    def _unlink(self, name: str, above: int) -> None:
        if not self._dry_run:
            os.unlink(name, dir_fd=above)

    def _rmdir(self, name: str, above: int) -> None:
        if not self._dry_run:
            os.rmdir(name, dir_fd=above)


@contextmanager
def _opened(path: str, flags: int, dir_fd: int) -> Iterator[int]:
    with _closed(os.open(path, flags, dir_fd=dir_fd)) as fd:
        yield fd


@contextmanager
def _closed(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)
