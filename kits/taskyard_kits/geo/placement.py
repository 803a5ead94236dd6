"""Where a raster lies: its coordinate reference system (CRS) and its transform, checked before anything is made."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import WktVersion
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform as transformed

from .control_points import Point, fit
from .point_counts import MAX_POINTS, MIN_POINTS
from .refusals import Refused

_WGS84 = CRS.from_epsg(4326)
# Three points are exactly what a transform has room for, so that nothing shows a fit around a pole to be wrong.
_CHECKED_BY_ITSELF = 4
# In any unit of a CRS: 25 times around the earth in metres.
_FARTHEST = 1e9
_POLAR_LATITUDE = 60
# In degrees: half a pixel of the coarsest grid of the whole earth.
_GRID_ROOM = 10.0
# In WKT 2, ISO 19162.
_WESTING = re.compile(r'AXIS\["[^"]*",\s*west\b')


@dataclass(frozen=True, slots=True)
class Placement:
    """`transform`: from columns and rows, counted from the upper left corner, to the x and y of the CRS.
    `residual_pixels`: how far the control point that fits worst is off; None without control points. `is_own`: it is
    the file's transform, as it stands there."""

    crs: CRS
    transform: Affine
    residual_pixels: float | None = None
    is_own: bool = False


def placed(wish: Mapping[str, Any], dataset: Any, width: int, height: int) -> Placement:
    """Where the upright image of this size lies: as the wish says (`bounds` or `control_points`, and `crs`), else as
    the file does. Raises Refused."""
    if wish["crs"] is None:
        return _own(dataset, width, height)
    crs = crs_named(wish["crs"])
    if wish["bounds"] is not None:
        return by_bounds(wish["bounds"], crs, width, height)
    points = [(point["col"], point["row"], point["x"], point["y"]) for point in wish["control_points"]]
    return by_points(points, crs, width, height)


def same_place(placement: Placement, dataset: Any) -> bool:
    """Whether the dataset lies there already, to a hundredth of a pixel at its corners."""
    if placement.crs != dataset.crs:
        return False
    there = ~dataset.transform @ placement.transform
    corners = [(col, row) for col in (0, dataset.width) for row in (0, dataset.height)]
    return all(math.dist(there @ corner, corner) < 0.01 for corner in corners)


def _own(dataset: Any, width: int, height: int) -> Placement:
    """By its transform, or by its control points. Raises Refused `not_placed`, `place_outside`, and as `by_points`
    does."""
    transform: Affine = dataset.transform
    if dataset.crs is not None and transform != Affine.identity():
        if not is_usable(dataset.crs) or not all(map(math.isfinite, transform)) or transform.is_degenerate:
            raise Refused("not_placed")
        placement = Placement(dataset.crs, transform, is_own=True)
        _check_own(placement, width, height)
        return placement
    points, crs = dataset.gcps
    if not MIN_POINTS <= len(points) <= MAX_POINTS or not is_usable(crs):
        raise Refused("not_placed")
    return by_points([(point.col, point.row, point.x, point.y) for point in points], crs, width, height)


def crs_named(name: str) -> CRS:
    """Raises Refused: `crs_unknown`, `crs_unusable`."""
    authority, _, code = name.partition(":")
    try:
        found = CRS.from_authority(authority, code)
    except CRSError:
        raise Refused("crs_unknown", crs=name) from None
    if not is_usable(found):
        raise Refused("crs_unusable", crs=name)
    return found


def is_usable(crs: CRS | None) -> bool:
    """Whether its x and y are places on earth."""
    return crs is not None and bool(crs.is_geographic or crs.is_projected)


def by_bounds(bounds: Sequence[float], crs: CRS, width: int, height: int) -> Placement:
    """Raises Refused: `bounds_invalid`, `crs_westing`, `place_outside`, `place_mirrored`."""
    if _WESTING.search(crs.to_wkt(version=WktVersion.WKT2_2019)):
        # The least x is the eastern edge there, and the least y may be the northern one.
        raise Refused("crs_westing", crs=_name(crs))
    left, bottom, right, top = bounds
    across, up = (right - left) / width, (top - bottom) / height
    # Also where a pixel is too small to be told from the next one.
    if not (math.isfinite(across) and math.isfinite(up)) or not (
        across > 16 * math.ulp(max(abs(left), abs(right))) and up > 16 * math.ulp(max(abs(bottom), abs(top)))
    ):
        raise Refused("bounds_invalid")
    return _checked(Placement(crs, Affine(across, 0, left, 0, -up, top)), width, height)


def by_points(points: Sequence[Point], crs: CRS, width: int, height: int) -> Placement:
    """Raises Refused as `control_points.fit` does, and `place_outside`, `place_mirrored`, `control_points_at_pole`."""
    _check_far(np.array([point[2:] for point in points]), crs)
    transform, residual = fit(points, width, height)
    if len(points) < _CHECKED_BY_ITSELF:
        _check_pole(points, crs)
    return _checked(Placement(crs, transform, residual), width, height)


def _checked(placement: Placement, width: int, height: int) -> Placement:
    """Corners and centre lead to longitude and latitude, and back to within a pixel (a quarter of a side, where that
    is less): elsewhere the CRS does not hold.

    Raises Refused: `place_outside`, `place_mirrored`.
    """
    transform, crs = placement.transform, placement.crs
    # Drawn in by half a pixel at most: the usual extent of web maps, ±20037508.3428, is rounded up, and what lies
    # beyond the 180th meridian comes back on the other side.
    inset = min(0.5, width / 100), min(0.5, height / 100)
    there = _corners(transform, width, height, *inset)
    _check_far(there, crs)
    if not _are_described(placement, there, width, height).all():
        raise _outside(crs)
    _check_sides(placement, width, height)
    return placement


def _check_own(placement: Placement, width: int, height: int) -> None:
    """Of a file's own transform, which may turn the image and mirror it. Longitudes may count from 0 to 360, as those
    of climate models do; and in a projection the corners may lie beyond the earth, as those of a satellite's full view
    do, but not all of them and the centre. Raises Refused `place_outside`."""
    crs = placement.crs
    there = _corners(placement.transform, width, height)
    _check_far(there, crs)
    if crs.is_geographic:
        room = _grid_room(placement)
        turn = 2 * math.pi / crs.units_factor[1]
        is_there = bool((np.abs(there) <= (turn + room, turn / 4 + room)).all())
    else:
        is_there = bool(_are_described(placement, there, width, height).any())
    if not is_there:
        raise _outside(crs)


def _are_described(placement: Placement, there: Any, width: int, height: int) -> Any:
    """Which of these places have a longitude and a latitude that lead back to them."""
    transform, crs = placement.transform, placement.crs
    lons, lats = _to_degrees(crs, there)
    back = np.array(_transformed(_WGS84, crs, lons, lats)).T
    linear = np.array([[transform.a, transform.b], [transform.d, transform.e]])
    with np.errstate(invalid="ignore"):  # what is infinite stays out of reach
        off = np.hypot(*np.linalg.solve(linear, (back - there).T))
    # Where the CRS has degrees itself, any number comes back.
    room = _grid_room(placement) if crs.is_geographic else 1e-6
    is_near = off <= min(1, width / 4, height / 4)
    return is_near & (np.abs(lats) <= 90 + room) & (np.abs(lons) <= 180 + room)


def _grid_room(placement: Placement) -> float:
    """By which a global grid may stand out: half a pixel."""
    transform = placement.transform
    return min(max(map(abs, (transform.a, transform.b, transform.d, transform.e))) / 2, _GRID_ROOM)


def _corners(transform: Affine, width: int, height: int, across: float = 0, down: float = 0) -> Any:
    """Of the image, drawn in by so many pixels, and its centre."""
    cols, rows = (across, width - across), (down, height - down)
    return np.array([transform @ place for place in [*itertools.product(cols, rows), (width / 2, height / 2)]])


def _check_far(places: Any, crs: CRS) -> None:
    """Before anything is transformed: PROJ turns an x far beyond the earth around it without an end."""
    if not (np.abs(places) <= _FARTHEST).all():
        raise _outside(crs)


def _outside(crs: CRS) -> Refused:
    return Refused("place_outside", crs=_name(crs))


def _name(crs: CRS) -> str:
    return ":".join(crs.to_authority() or ("CRS",))


def _check_sides(placement: Placement, width: int, height: int) -> None:
    """On the globe, seen from above, what goes down in the image turns right from what goes to the right in it."""
    col, row = width / 2, height / 2
    # At least a pixel, but not halfway around the earth, where an image of few pixels shows all of it.
    right_by, down_by = (min(max(1, side / 64), side / 8) for side in (width, height))
    near = [(col, row), (col + right_by, row), (col, row + down_by)]
    lons, lats = _to_degrees(placement.crs, np.array([placement.transform @ place for place in near]))
    here, right, down = _on_globe(lons, lats)
    if not float(here @ np.cross(right - here, down - here)) < 0:
        raise Refused("place_mirrored")


def _check_pole(points: Sequence[Point], crs: CRS) -> None:
    """Points on all sides of a pole, in a CRS that does not have the pole as one place: its x and y leap there."""
    lons, lats = _to_degrees(crs, np.array([point[2:] for point in points]))
    if not np.isfinite(lons).all() or not (np.abs(lats) > _POLAR_LATITUDE).all():
        return
    ordered = np.sort(lons % 360)
    gaps = np.diff(np.append(ordered, ordered[0] + 360))
    if gaps.max() >= 180:
        return
    pole = math.copysign(90, float(lats[0]))
    seen = np.array(_transformed(_WGS84, crs, np.array([0.0, 90, 180]), np.full(3, pole)))
    if not (np.ptp(seen, axis=1) < 1).all():
        raise Refused("control_points_at_pole")


def _to_degrees(crs: CRS, places: Any) -> Any:
    return np.array(_transformed(crs, _WGS84, places[:, 0], places[:, 1]))


def _transformed(source: CRS, target: CRS, xs: Any, ys: Any) -> Any:
    """Infinite where there is no such place."""
    try:
        found = transformed(source, target, xs.tolist(), ys.tolist())
    except (RasterioError, CPLE_BaseError):
        return np.full((2, len(xs)), np.inf)
    return found[0], found[1]


def _on_globe(lons: Any, lats: Any) -> Any:
    lon, lat = np.radians(lons), np.radians(lats)
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
