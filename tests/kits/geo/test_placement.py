"""Bounds and coordinate reference systems: what is taken, and what would put an image nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from affine import Affine
from rasterio.io import MemoryFile
from rasterio.warp import transform

from taskyard_kits.geo.placement import Placement, by_bounds, by_points, crs_named, placed
from taskyard_kits.geo.refusals import Refused

INF, NAN = float("inf"), float("nan")


def refused(bounds: list[float], crs: str, width: int = 100, height: int = 100) -> str:
    with pytest.raises(Refused) as e:
        by_bounds(bounds, crs_named(crs), width, height)
    return e.value.code


@pytest.mark.parametrize(
    "bounds",
    [
        [2.0, 1.0, 1.0, 2.0],
        [1.0, 2.0, 2.0, 1.0],
        [1.0, 1.0, 1.0, 2.0],
        [170.0, -20.0, -170.0, -10.0],  # across the 180th meridian
        [NAN, 1.0, 2.0, 2.0],
        [1.0, 1.0, INF, 2.0],
        [-INF, 1.0, INF, 2.0],
        [-1e308, -1e308, 1e308, 1e308],
        [1.0, 1.0, 1.0 + 1e-14, 2.0],  # a pixel is nothing
    ],
)
def test_bounds_that_enclose_nothing_are_refused(bounds: list[float]) -> None:
    assert refused(bounds, "EPSG:4326") == "bounds_invalid"


@pytest.mark.parametrize(
    ("bounds", "crs"),
    [
        ([8e8, 1e6, 8.1e8, 2e6], "EPSG:3857"),
        ([1e6, 6e6, 4.5e7, 7e6], "EPSG:3857"),
        ([1e6, 6e6, 2e6, 1e300], "EPSG:3857"),
        ([0.0, 0.0, 1e17, 1e6], "EPSG:3857"),
        ([0.0, 0.0, 1e300, 1e6], "EPSG:3857"),
        ([-181.1, 0.0, -175.0, 5.0], "EPSG:4326"),
        ([170.0, -20.0, 190.0, -10.0], "EPSG:4326"),
        ([0.0, 85.0, 10.0, 91.0], "EPSG:4326"),
        ([500_000.0, 5_000_000.0, 600_000.0, 5_100_000.0], "EPSG:4326"),
        ([1e9, 5e6, 1.1e9, 6e6], "EPSG:32633"),
    ],
)
def test_bounds_outside_of_what_the_crs_describes_are_refused(bounds: list[float], crs: str) -> None:
    assert refused(bounds, crs) == "place_outside"


@pytest.mark.parametrize(
    ("bounds", "crs"),
    [
        ([-180.0, -90.0, 180.0, 90.0], "EPSG:4326"),
        ([-180.9, -90.9, 179.1, 89.1], "EPSG:4326"),  # a grid whose pixels are centred on the degrees
        ([-20037508.34, -20037508.34, 20037508.34, 20037508.34], "EPSG:3857"),
        ([-4e6, -4e6, 4e6, 4e6], "EPSG:3413"),  # the pole in the middle
        ([-3e6, -3e6, 3e6, 3e6], "EPSG:3031"),
        ([500_000.0, 5_300_000.0, 500_000.5, 5_300_000.5], "EPSG:32633"),  # half a centimetre a pixel
        ([-1e6, -2.1e6, 1e6, -1.9e6], "EPSG:3832"),  # across the 180th meridian, in a CRS for that
        ([529_000.0, 179_000.0, 530_000.0, 180_000.0], "EPSG:27700"),  # of another datum
    ],
)
def test_bounds_that_a_crs_describes_are_taken(bounds: list[float], crs: str) -> None:
    assert by_bounds(bounds, crs_named(crs), 100, 100)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 4096])
@pytest.mark.parametrize(
    ("bounds", "crs"),
    [
        ([-180.0, -90.0, 180.0, 90.0], "EPSG:4326"),
        ([-20037508.3428, -20037508.3428, 20037508.3428, 20037508.3428], "EPSG:3857"),  # as web maps round it
        ([-20037508.342789244, -20037508.342789244, 20037508.342789244, 20037508.342789244], "EPSG:3857"),
    ],
)
def test_the_whole_earth_is_taken_at_any_size(bounds: list[float], crs: str, size: int) -> None:
    assert by_bounds(bounds, crs_named(crs), size, size)


@pytest.mark.parametrize("size", [1, 2, 10, 100])
@pytest.mark.parametrize(
    ("earth", "crs"),
    [([-180.0, -90.0, 180.0, 90.0], "EPSG:4326"), ([-20037508.3428] * 2 + [20037508.3428] * 2, "EPSG:3857")],
)
def test_what_is_larger_than_the_earth_is_refused_at_any_size(earth: list[float], crs: str, size: int) -> None:
    assert refused([1.1 * bound for bound in earth], crs, size, size) == "place_outside"


@pytest.mark.parametrize(
    ("bounds", "crs"),
    [
        ([90_000.0, 2_877_000.0, 100_000.0, 2_888_000.0], "EPSG:2053"),  # x goes west, y south
        ([1_040_000.0, 740_000.0, 1_050_000.0, 750_000.0], "EPSG:2065"),  # x goes south, y west
    ],
)
def test_bounds_in_a_crs_that_counts_to_the_west_are_refused(bounds: list[float], crs: str) -> None:
    """They would turn the image by 180 degrees, or mirror it."""
    assert refused(bounds, crs) == "crs_westing"


def test_control_points_in_a_crs_that_counts_to_the_west_place_the_image_upright() -> None:
    """A square of 0.1 degrees, its upper left corner at 28 E, 26 S: what pyproj 3.8 with PROJ 9.5 makes of it."""
    points = [
        (0.0, 0.0, 100120.86646810727, 2877217.611706402),
        (100.0, 0.0, 90108.24086477206, 2877144.8284605355),
        (0.0, 100.0, 100035.93340778141, 2888297.5316117737),
        (100.0, 100.0, 90031.80397330558, 2888224.5500064692),
    ]
    crs = crs_named("EPSG:2053")
    placement = by_points(points, crs, 100, 100)
    [lon], [lat] = transform(crs, "EPSG:4326", *([number] for number in placement.transform @ (25, 75)))
    assert (lon, lat) == (pytest.approx(28.025, abs=1e-3), pytest.approx(-26.075, abs=1e-3))


def own_place(crs: str, own: Affine, size: int = 100) -> Placement:
    """Of a GeoTIFF that lies there by its own transform."""
    options: dict[str, Any] = {"driver": "GTiff", "width": size, "height": size, "count": 1, "dtype": "uint8"}
    with MemoryFile() as memory:
        with memory.open(crs=crs, transform=own, **options):
            pass
        with memory.open() as dataset:
            return placed({"crs": None}, dataset, size, size)


@pytest.mark.parametrize(
    ("crs", "own"),
    [
        # Its corners would be infinite, which no JSON can tell.
        ("EPSG:3857", Affine(1e308, 0, 1e308, 0, -1, 0)),
        ("EPSG:4326", Affine(0.1, 0, 5000, 0, -0.1, 48)),
        ("EPSG:4326", Affine(10, 0, 16, 0, -10, 48)),
        ("EPSG:4326", Affine(0.1, 0, 16, 0, -0.1, 148)),
        ("EPSG:32633", Affine(10, 0, 500_000, 0, -10, 9e8)),
    ],
)
def test_a_place_of_the_files_own_is_on_earth_too(crs: str, own: Affine) -> None:
    with pytest.raises(Refused) as e:
        own_place(crs, own)
    assert e.value.code == "place_outside"


@pytest.mark.parametrize(
    ("crs", "own"),
    [
        ("EPSG:32633", Affine.translation(500_000, 5_300_000) @ Affine.rotation(30) @ Affine.scale(10, -10)),
        ("EPSG:32633", Affine(-10, 0, 500_000, 0, -10, 5_300_000)),
        ("EPSG:32633", Affine(10, 0, 500_000, 0, 10, 5_300_000)),
        # Longitudes from 0 to 360, and a grid whose outer points are the poles.
        ("EPSG:4326", Affine(3.6, 0, 0, 0, -1.818, 90.9)),
        # In gradians, of which there are 400.
        ("EPSG:4807", Affine(4, 0, 0, 0, -2, 100)),
        # The whole earth in a sinusoidal projection: nothing lies at its corners.
        ("ESRI:54008", Affine(400_000, 0, -20_000_000, 0, -200_000, 10_000_000)),
    ],
    ids=["turned", "mirrored", "bottom up", "0 to 360", "gradians", "corners beyond the earth"],
)
def test_a_place_of_the_files_own_may_be_one_that_is_asked_for_by_nobody(crs: str, own: Affine) -> None:
    assert own_place(crs, own).transform == own


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("EPSG:1", "crs_unknown"),
        ("NOBODY:3857", "crs_unknown"),
        ("EPSG:9999999999", "crs_unknown"),
        ("EPSG:4978", "crs_unusable"),  # x, y and z from the centre of the earth
        ("EPSG:5703", "crs_unusable"),  # heights
    ],
)
def test_a_crs_that_is_none_or_has_no_x_and_y_is_refused(name: str, code: str) -> None:
    with pytest.raises(Refused) as e:
        crs_named(name)
    assert e.value.code == code
    assert e.value.values == {"crs": name}
