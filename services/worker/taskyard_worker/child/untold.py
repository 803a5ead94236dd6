"""Progress and log lines of a child's tasks that the writer has not written yet. Safe for every thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from uuid import UUID

from taskyard.lifecycle.progress import Note, Progress

from .gathering import Gathering


class Untold:
    """Of progress, the newest of each task is kept; of lines, all, in their order."""

    def __init__(self, wake: Gathering) -> None:
        self._wake = wake
        self._lock = threading.Lock()  # over the two that follow
        self._notes: list[tuple[Note, float]] = []
        self._progress: dict[UUID, Progress] = {}

    def __bool__(self) -> bool:
        return bool(self._progress or self._notes)

    def progress(self, told: Progress) -> None:
        with self._lock:
            if not self._progress:
                self._wake.set()
            self._progress[told.task_id] = told

    def note(self, note: Note) -> None:
        with self._lock:
            if not self._notes:
                self._wake.set()
            self._notes.append((note, time.monotonic()))

    def taken(self, ending: Collection[UUID] | None) -> tuple[list[Progress], list[tuple[Note, float]]]:
        """Progress, and lines with the time they came (monotonic seconds); of `ending` only, where it is too early for
        the others. Lines keep their order, so all go as soon as one has to."""
        with self._lock:
            if ending is None:
                newest, self._progress = self._progress, {}
            else:
                newest = {i: p for i in ending if (p := self._progress.pop(i, None))}
            notes: list[tuple[Note, float]] = []
            if ending is None or any(note.task_id in ending for note, _ in self._notes):
                notes, self._notes = self._notes, []
        return list(newest.values()), notes
