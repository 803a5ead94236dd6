"""From control points to one affine transform, by least squares.

Affine only (docs/decisions/0027): with a polynomial of the second order, six points on two parallel lines make the fit
singular, and points that are wrong bend the raster instead of showing. Here they show, as residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from affine import Affine

from .refusals import Refused

Point = tuple[float, float, float, float]  # col, row, x, y

# Between two points, in pixels of the image.
_LEAST_DISTANCE = 1.0
# How far the points spread across the line that fits them best, as a share of how far they spread along it: with less,
# the error of a point is more than fifty times as large elsewhere.
_LEAST_SPREAD = 0.02
# The same on the map, where a pixel may be much wider than high.
_LEAST_SPREAD_ON_MAP = 0.001
# How far a point may lie from its place in the raster: a share of the image's diagonal, and always two pixels.
_RESIDUAL_SHARE = 0.005
_RESIDUAL_PIXELS = 2.0


def fit(points: Sequence[Point], width: int, height: int) -> tuple[Affine, float]:
    """The transform from columns and rows to x and y, and the largest residual in pixels.

    Raises Refused: `control_point_outside`, `control_points_too_close`, `control_points_collinear`,
    `control_points_disagree`.
    """
    given = np.array(points, dtype=np.float64)
    image, map_ = given[:, :2], given[:, 2:]
    _check_inside(image, width, height)
    _check_distances(image)
    image_middle, map_middle = image.mean(axis=0), map_.mean(axis=0)
    centred = image - image_middle
    spread = np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(points))
    if spread[1] < max(_LEAST_DISTANCE, _LEAST_SPREAD * spread[0]):
        raise Refused("control_points_collinear")
    linear = np.linalg.lstsq(centred, map_ - map_middle, rcond=None)[0].T
    stretch = np.linalg.svd(linear, compute_uv=False)
    if not np.isfinite(linear).all() or stretch[1] <= _LEAST_SPREAD_ON_MAP * stretch[0]:
        raise Refused("control_points_collinear")
    off = np.linalg.solve(linear, (map_ - map_middle - centred @ linear.T).T)
    residuals = np.hypot(*off)
    worst = int(residuals.argmax())
    most = max(_RESIDUAL_PIXELS, _RESIDUAL_SHARE * float(np.hypot(width, height)))
    if residuals[worst] > most:
        raise Refused(
            "control_points_disagree", number=worst + 1, pixels=round(float(residuals[worst]), 1), limit=round(most, 1)
        )
    return _affine(linear, map_middle - linear @ image_middle), float(residuals[worst])


def _check_inside(image: Any, width: int, height: int) -> None:
    over = np.maximum(-image, image - [width, height]).max(axis=1)
    worst = int(over.argmax())
    if not over[worst] <= _LEAST_DISTANCE:
        raise Refused("control_point_outside", number=worst + 1, width=width, height=height)


def _check_distances(image: Any) -> None:
    """A thousand points are a million distances at most."""
    places = image[:, 0] + 1j * image[:, 1]
    distances = np.abs(places[:, None] - places[None, :])
    np.fill_diagonal(distances, np.inf)
    first, second = np.unravel_index(distances.argmin(), distances.shape)
    if distances[first, second] < _LEAST_DISTANCE:
        raise Refused("control_points_too_close", first=int(first) + 1, second=int(second) + 1)


def _affine(linear: Any, offset: Any) -> Affine:
    (a, b), (d, e) = linear.tolist()
    c, f = offset.tolist()
    return Affine(a, b, c, d, e, f)
