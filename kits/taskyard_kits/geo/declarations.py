"""What geo.convert_to_raster takes and returns."""

from __future__ import annotations

from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue, model_validator

from taskyard import Params, Result

from .point_counts import MAX_POINTS, MIN_POINTS

_NAMES = ("bounds", "control_points", "crs")
_WAYS = (("bounds", "crs"), ("control_points", "crs"), ())
_ONE_WAY = "give bounds or control_points, and crs with either; or none of them"


def _way(given: tuple[str, ...]) -> JsonValue:
    properties: dict[str, JsonValue] = {
        name: {"not": {"type": "null"}} if name in given else {"type": "null"} for name in _NAMES
    }
    return {"required": [*given], "properties": properties}


class ControlPoint(Params):
    """A point of the upright image and where it lies. The upper left corner of the image is row 0, col 0; the centre of
    its first pixel row 0.5, col 0.5."""

    row: float
    col: float
    x: float = Field(description="Easting or longitude, in the unit of the CRS.")
    y: float = Field(description="Northing or latitude.")


class ConvertParams(Params):
    model_config = ConfigDict(json_schema_extra={"anyOf": [_way(given) for given in _WAYS], "x-message": _ONE_WAY})

    item_id: UUID
    bounds: Annotated[list[float], Field(min_length=4, max_length=4)] | None = Field(
        default=None, description="Of the upright image: the least x and y, then the greatest."
    )
    control_points: Annotated[list[ControlPoint], Field(min_length=MIN_POINTS, max_length=MAX_POINTS)] | None = Field(
        default=None, description="Three or more, well spread over the image and not on one line."
    )
    crs: Annotated[str, Field(pattern="^[A-Z]{2,10}:[0-9]{1,10}$")] | None = Field(
        default=None, description="The coordinate reference system of x and y.", examples=["EPSG:3857"]
    )

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        if tuple(name for name in _NAMES if getattr(self, name) is not None) not in _WAYS:
            raise ValueError(_ONE_WAY)
        return self


class ConvertResult(Result):
    """The raster that the item is now."""

    item_id: UUID
    object_type: str
    name: str
    size: int
    width: int
    height: int
    crs: str | None = Field(description="As EPSG:3857; null where the file's own has no such name.")
    transform: list[float] = Field(
        description="a, b, c, d, e, f: x = a * col + b * row + c and y = d * col + e * row + f."
    )
    bounds: list[float] = Field(description="What encloses it: the least x and y, then the greatest.")
    residual_pixels: float | None = Field(
        default=None,
        description="How far the control point that fits worst lies from where the raster has it; null where no points"
        " gave the place.",
    )
