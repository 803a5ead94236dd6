"""Control points: the affine transform that fits them best, and the points that are refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from affine import Affine
from pydantic import BaseModel

from taskyard_api.models import ConversionBody
from taskyard_kits.geo.control_points import Point, fit
from taskyard_kits.geo.declarations import ConvertParams
from taskyard_kits.geo.placement import by_points, crs_named
from taskyard_kits.geo.point_counts import MAX_POINTS, MIN_POINTS
from taskyard_kits.geo.refusals import Refused
from tests.kits.geo.conftest import BLUE, GREEN, RED, WHITE, Converted, picture, saved

WIDTH, HEIGHT = 600, 400
# Turned by 30 degrees, ten metres a pixel, in Vienna.
TURNED = Affine.translation(1_820_000, 6_144_000) @ Affine.rotation(30) @ Affine.scale(10, -10)
CORNERS = [(0.0, 0.0), (600.0, 0.0), (0.0, 400.0), (600.0, 400.0)]


def points_of(transform: Affine, places: Sequence[tuple[float, float]]) -> list[Point]:
    return [(*place, *transform @ place) for place in places]


def refused(points: Sequence[Point], crs: str = "EPSG:3857", width: int = WIDTH, height: int = HEIGHT) -> Refused:
    with pytest.raises(Refused) as e:
        by_points(points, crs_named(crs), width, height)
    return e.value


def test_control_points_place_an_image_to_the_pixel(converted: Converted) -> None:
    points = [
        {"col": col, "row": row, "x": x, "y": y} for col, row, x, y in points_of(TURNED, [*CORNERS, (300.0, 100.0)])
    ]
    made = converted(saved(picture(), "PNG"), control_points=points, crs="EPSG:3857")
    assert made.dataset.transform.almost_equals(TURNED, 1e-6)
    assert made.run.result["residual_pixels"] == pytest.approx(0, abs=1e-6)
    # On either side of the edges between the colours.
    places = [(299.5, 199.5), (300.5, 199.5), (299.5, 200.5), (300.5, 200.5)]
    assert [made.at(*TURNED @ place) for place in places] == [RED, GREEN, BLUE, WHITE]


def test_six_points_on_two_parallel_lines_are_placed_as_well(converted: Converted) -> None:
    """A polynomial of the second order has no solution for them: GDAL makes one up."""
    lines = [(col, row) for row in (50.0, 350.0) for col in (10.0, 300.0, 590.0)]
    points = [{"col": col, "row": row, "x": x, "y": y} for col, row, x, y in points_of(TURNED, lines)]
    made = converted(saved(picture(), "PNG"), control_points=points, crs="EPSG:3857")
    assert made.dataset.transform.almost_equals(TURNED, 1e-6)


def test_the_fit_is_that_of_least_squares() -> None:
    # Two corners are a pixel to the right, the others a pixel to the left: nothing but the residual shows it.
    shifts = (10.0, -10.0, -10.0, 10.0)
    points = [
        (col, row, x + shift, y)
        for (col, row, x, y), shift in zip(points_of(Affine.scale(10, -10), CORNERS), shifts, strict=True)
    ]
    transform, residual = fit(points, WIDTH, HEIGHT)
    assert transform.almost_equals(Affine.scale(10, -10), 1e-6)
    assert residual == pytest.approx(1)


def test_a_point_that_does_not_fit_the_others_is_named() -> None:
    points = points_of(TURNED, [*CORNERS, (300.0, 200.0)])
    col, row, x, y = points[4]
    limit = 0.005 * math.hypot(WIDTH, HEIGHT)
    # A single point beside four corners keeps four fifths of what it is off.
    assert by_points([*points[:4], (col, row, x, y + 10 * limit)], crs_named("EPSG:3857"), WIDTH, HEIGHT)
    wrong = refused([*points[:4], (col, row, x, y + 10 * limit * 1.3)])
    assert (wrong.code, wrong.values["number"]) == ("control_points_disagree", 5)
    assert wrong.values["limit"] == round(limit, 1)


@pytest.mark.parametrize("far", [1e17, 1e30, 1e308])
def test_points_far_beyond_the_earth_are_refused_at_once(far: float) -> None:
    points = [(0.0, 0.0, -far, 0.0), (600.0, 0.0, far, 0.0), (0.0, 400.0, 0.0, -far), (600.0, 400.0, far, -far)]
    assert refused(points).code == "place_outside"
    assert refused(points[:3]).code == "place_outside"


def test_a_map_that_is_drawn_in_another_crs_is_refused() -> None:
    """Of Mercator's, given in degrees: it is not linear over a third of the globe."""
    world = [(0.0, 0.0, -60.0, 80.0), (600.0, 0.0, 60.0, 80.0), (0.0, 400.0, -60.0, 0.0), (300.0, 200.0, 0.0, 55.0)]
    assert refused(world, "EPSG:4326").code == "control_points_disagree"


@pytest.mark.parametrize(
    ("places", "code"),
    [
        ([(0, 0), (300, 200), (600, 400)], "control_points_collinear"),
        ([(0, 0), (100, 0), (300, 0), (600, 0.5)], "control_points_collinear"),
        # A pixel and a half beside the line: one error of a pixel would be four hundred elsewhere.
        ([(0, 0), (300, 1.5), (600, 0)], "control_points_collinear"),
        ([(0, 0), (600, 0), (0.5, 0.5), (0, 400)], "control_points_too_close"),
        ([(10, 10), (10, 10), (600, 0), (0, 400)], "control_points_too_close"),
        ([(0, 0), (601.5, 0), (0, 400)], "control_point_outside"),
        ([(0, 0), (600, 0), (0, -2)], "control_point_outside"),
        ([(0, 0), (600, 0), (0, 1e6)], "control_point_outside"),
    ],
)
def test_points_that_say_too_little_are_refused(places: list[tuple[float, float]], code: str) -> None:
    assert refused(points_of(TURNED, places)).code == code


def test_points_that_are_one_line_on_the_map_are_refused() -> None:
    flat = [(col, row, 1_820_000 + 10 * col, 6_140_000.0) for col, row in CORNERS]
    same = [(col, row, 1_820_000.0, 6_140_000.0) for col, row in CORNERS]
    assert refused(flat).code == refused(same).code == "control_points_collinear"


def around(latitudes: Sequence[float]) -> list[Point]:
    """Points on a circle in the image, around the North Pole on the globe."""
    count = len(latitudes)
    angles = [2 * math.pi * n / count for n in range(count)]
    return [
        (300 + 190 * math.sin(angle), 200 + 190 * math.cos(angle), math.degrees(angle) - 180, latitude)
        for angle, latitude in zip(angles, latitudes, strict=True)
    ]


@pytest.mark.parametrize(
    ("latitudes", "code"),
    [
        ((89, 87, 88), "control_points_at_pole"),
        ((-89, -87, -88), "control_points_at_pole"),
        ((89, 89, 89), "control_points_collinear"),
        ((89, 88, 87, 88), "control_points_disagree"),
        ((89, 88, 87, 86, 87, 88), "control_points_disagree"),
    ],
)
def test_points_around_a_pole_are_refused_in_degrees(latitudes: tuple[float, ...], code: str) -> None:
    assert refused(around(latitudes), "EPSG:4326").code == code


def test_points_around_a_pole_are_taken_in_a_polar_crs() -> None:
    polar = Affine.translation(-300_000, 200_000) @ Affine.scale(1000, -1000)
    for count in (3, 4):
        placed = by_points(points_of(polar, CORNERS[:count]), crs_named("EPSG:3413"), WIDTH, HEIGHT)
        assert placed.transform.almost_equals(polar, 1e-4)


@pytest.mark.parametrize(
    ("changed", "crs"),
    [
        (lambda p: (p[0], p[1], p[3], p[2]), "EPSG:4326"),  # latitude and longitude
        (lambda p: (p[1], p[0], p[2], p[3]), "EPSG:4326"),  # row and column
        (lambda p: (p[0], 400 - p[1], p[2], p[3]), "EPSG:4326"),  # rows from below
        # Across the 180th meridian: what goes to the right goes from 179.7 to -179.9.
        (lambda p: (p[0], p[1], (p[2] - 16 + 179.7 + 180) % 360 - 180, p[3]), "EPSG:4326"),
    ],
)
def test_points_that_mirror_the_image_are_refused(changed: Any, crs: str) -> None:
    vienna = points_of(Affine(0.001, 0, 16, 0, -0.001, 48.4), [(0, 0), (400, 0), (0, 400)])
    assert by_points(vienna, crs_named(crs), 400, 400)
    assert refused([changed(point) for point in vienna], crs, 400, 400).code == "place_mirrored"


def test_the_api_takes_as_many_points_as_the_task() -> None:
    def bounds_of(model: type[BaseModel]) -> tuple[int, int]:
        declared = model.model_json_schema()["properties"]["control_points"]
        [points] = [way for way in declared.get("anyOf", [declared]) if way["type"] == "array"]
        return points["minItems"], points["maxItems"]

    assert bounds_of(ConversionBody) == bounds_of(ConvertParams) == (MIN_POINTS, MAX_POINTS)
