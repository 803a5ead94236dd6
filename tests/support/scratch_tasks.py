"""Tasks that use their temporary directory, and say where it was."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Literal

from taskyard import Params, Result, TaskContext, task


class ScratchParams(Params):
    end: Literal["returns", "raises", "waits"] = "returns"


class ScratchResult(Result):
    path: str


def _fill(directory: Path) -> None:
    assert list(directory.iterdir()) == []
    (directory / "large").write_bytes(b"x" * 1_000_000)
    (directory / "below").mkdir()
    (directory / "below" / "link").symlink_to(Path(__file__))
    (directory / "below").chmod(0o500)


@task("tests.scratch")
def scratch(params: ScratchParams, *, context: TaskContext) -> ScratchResult:
    _fill(context.temp_dir)
    context.progress(1, message=str(context.temp_dir))
    if params.end == "raises":
        raise RuntimeError("in the middle")
    while params.end == "waits":
        time.sleep(0.02)
    return ScratchResult(path=str(context.temp_dir))


@task("tests.scratch_async")
async def scratch_async(params: ScratchParams, *, context: TaskContext) -> ScratchResult:
    _fill(context.temp_dir)
    await asyncio.sleep(0)
    return ScratchResult(path=str(context.temp_dir))
