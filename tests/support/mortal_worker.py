"""A worker for a while, which may die where a failpoint is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.support.fleet import Fleet


@contextmanager
def mortal_worker(fleet: Fleet, dies_at: str | None = None, *, queues: str = "default") -> Iterator[Path]:
    """Two threads. Its first child dies there; the path exists from then on."""
    directory = fleet.home / f"temp-{uuid4().hex[:8]}"
    more = {"TASKYARD_TEMP_DIR": str(directory)}
    if dies_at is not None:
        more["TASKYARD_FAILPOINTS"] = dies_at
    fleet.environment.update(more)
    worker = fleet.start_worker(queues=queues, threads=2)
    try:
        yield directory / "failpoints" / (dies_at or "").partition(":")[0]
    finally:
        for name in more:
            del fleet.environment[name]
        worker.terminate()
        worker.wait(40)
