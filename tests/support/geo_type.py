"""A stand-in for the task type that converts images into rasters."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from taskyard import Params, TaskContext, task


class ConvertParams(Params):
    item_id: UUID
    bounds: list[float] | None = None
    control_points: list[dict[str, Any]] | None = None
    crs: str | None = None


@task("geo.convert_to_raster")
def convert(params: ConvertParams, *, context: TaskContext) -> None:
    raise NotImplementedError
