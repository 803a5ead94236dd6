"""Bounds and coordinate reference systems: what is taken, and what would put an image nowhere."""

from __future__ import annotations

import pytest

from taskyard_kits.geo.placement import by_bounds, crs_named
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


def test_a_crs_whose_axes_would_mirror_the_image_is_refused() -> None:
    """Krovak's x goes south and its y west."""
    assert refused([1_040_000.0, 740_000.0, 1_050_000.0, 750_000.0], "EPSG:2065") == "place_mirrored"


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
