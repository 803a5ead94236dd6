"""An attempt that is killed at a step, as by `kill -9`: `dying DATABASE STORAGE ITEM TASK STEP WISH`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import sqlalchemy as sa

from taskyard.running.trial import run_task
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger
from taskyard_kits import kept_files
from taskyard_kits.geo import tasks
from taskyard_kits.geo.process import Converter

STEPS = ("converting", "stored.before", "stored.after", "replaced.before", "replaced.after")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingStorage(LocalStorage):
    def __init__(self, root: Path, step: str) -> None:
        super().__init__(root)
        self._step = step

    @contextmanager
    def writer(self) -> Iterator[Any]:
        with super().writer() as writer:
            commit = writer.commit

            def dying() -> Any:
                if self._step == "stored.before":
                    die()
                stored = commit()
                if self._step == "stored.after":
                    die()
                return stored

            writer.commit = dying  # type: ignore[method-assign]
            yield writer


def main(database: str, root: str, item: str, task: str, step: str, wish: str) -> None:
    engine = ledger.make_engine(database)
    if step == "converting":
        answer = Converter.answer

        def after_one(converter: Converter) -> dict[str, Any]:
            found = answer(converter)
            if "done" in found:
                die()
            return found

        mock.patch.object(Converter, "answer", after_one).start()
    if step == "replaced.before":

        @sa.event.listens_for(engine, "after_cursor_execute")
        def replaced(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("UPDATE tree_item"):
                die()

    if step == "replaced.after":
        put = kept_files.put_in_place

        def then_die(*args: Any) -> Any:
            put(*args)
            die()

        mock.patch.object(tasks, "put_in_place", then_die).start()
    storage = DyingStorage(Path(root), step)
    params = {"item_id": item, **json.loads(wish)}
    run_task("geo.convert_to_raster", params, engine=engine, storage=storage, task_id=UUID(task))


if __name__ == "__main__":
    main(*sys.argv[1:])
