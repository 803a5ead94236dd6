"""geo.convert_to_raster: the raster is a COG, and lies where it was asked to."""

from __future__ import annotations

from typing import Any

from tests.kits.geo.conftest import BLUE, BOUNDS, GREEN, PLACE, RED, WHITE, Converted, picture, saved


def test_an_image_with_bounds_lies_there_to_the_pixel(converted: Converted) -> None:
    made = converted(saved(picture(), "PNG"), "vienna.png", **PLACE)
    assert tuple(made.dataset.transform)[:6] == (10.0, 0.0, BOUNDS[0], 0.0, -10.0, BOUNDS[3])
    assert made.dataset.crs.to_epsg() == 3857
    assert list(made.dataset.bounds) == BOUNDS
    left, bottom, right, top = BOUNDS
    # On either side of the edges between the colours, which lie in the middle.
    x, y = (left + right) / 2, (bottom + top) / 2
    found = [made.at(x + dx, y + dy) for dx, dy in ((-5, 5), (5, 5), (-5, -5), (5, -5))]
    assert found == [RED, GREEN, BLUE, WHITE]


def test_the_item_becomes_a_raster_and_the_result_describes_it(converted: Converted) -> None:
    made = converted(saved(picture(), "JPEG", quality=95), "vienna.jpg", **PLACE)
    item = made.item
    assert (item.name, item.object_type) == ("vienna.tif", "geo_raster_file")
    assert item.content_type == "image/tiff; application=geotiff; profile=cloud-optimized"
    assert made.run.result == {
        "item_id": str(item.id),
        "object_type": "geo_raster_file",
        "name": "vienna.tif",
        "size": item.size,
        "width": 600,
        "height": 400,
        "crs": "EPSG:3857",
        "transform": [10.0, 0.0, BOUNDS[0], 0.0, -10.0, BOUNDS[3]],
        "bounds": BOUNDS,
        "residual_pixels": None,
    }
