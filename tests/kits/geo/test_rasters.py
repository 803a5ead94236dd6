"""geo.convert_to_raster: the raster is a COG, and lies where it was asked to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image, ImageOps
from rasterio.control import GroundControlPoint
from rasterio.io import MemoryFile

from taskyard_kits.geo.names import raster_name
from taskyard_kits.geo.strips import Strips
from tests.kits.geo import cog
from tests.kits.geo.conftest import BLUE, BOUNDS, GREEN, PLACE, RED, WHITE, Converted, picture, saved

# What rasterio says of images that lie nowhere yet.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

# What undoes the turn that an orientation asks for.
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


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


def test_a_raster_is_a_cog_with_overviews_and_loses_nothing(converted: Converted) -> None:
    noise = np.random.default_rng(7).integers(0, 255, (1100, 1300, 3), dtype=np.uint8)
    made = converted(saved(Image.fromarray(noise), "PNG"), **PLACE)
    assert cog.faults_of(made.path) == []
    assert made.dataset.overviews(1) == [2, 4]
    assert made.dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert (made.pixels == noise).all()


def test_the_checks_of_a_cog_can_fail(tmp_path: Path) -> None:
    path, pixels = tmp_path / "plain.tif", np.zeros((1, 1100, 1300), np.uint8)
    options: dict[str, Any] = {"driver": "GTiff", "width": 1300, "height": 1100, "count": 1, "dtype": "uint8"}
    options |= {"crs": "EPSG:3857", "transform": Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(path, "w", **options) as plain:
        plain.write(pixels)
    assert cog.faults_of(path) == ["not in tiles"]
    with rasterio.open(path, "w", tiled=True, **options) as tiles:
        tiles.write(pixels + 1)
    assert cog.faults_of(path) == ["no overviews"]
    with rasterio.open(path, "r+") as tiles:
        tiles.build_overviews([2, 4])
    assert cog.faults_of(path) == ["directories behind pixels", "pixels of overviews behind those of the image"]


@pytest.mark.parametrize(("kind", "orientation"), [("JPEG", 6), ("PNG", 8), ("TIFF", 3), ("TIFF", 5)])
def test_an_image_that_is_stored_turned_is_placed_upright(converted: Converted, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    # The last strip is lower than the others, so that each way of turning has to find its place.
    upright = picture(620, 470)
    content = saved(
        upright.transpose(UNDO[orientation]), kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {})
    )
    made = converted(content, **PLACE)
    assert (made.dataset.width, made.dataset.height) == (620, 470)
    assert np.abs(made.pixels.astype(int) - np.asarray(upright)).mean() < 3


def test_turned_images_of_many_strips_come_out_as_a_whole() -> None:
    """Each strip where it belongs, whichever way the image is turned, and none written in parts."""
    for orientation in range(1, 9):
        stored = np.random.default_rng(7).integers(0, 255, (1, 100, 70), dtype=np.uint8)
        with MemoryFile() as memory:
            with memory.open(driver="GTiff", width=70, height=100, count=1, dtype="uint8") as dataset:
                dataset.write(stored)
            with memory.open() as dataset:
                strips = Strips(dataset, orientation)
                strips.rows = 32
                found = np.zeros((strips.height, strips.width), np.uint8)
                for strip in strips:
                    _, rows, cols = strip.pixels.shape
                    assert (strip.col if strips.is_sideways else strip.row) % 32 == 0
                    found[strip.row : strip.row + rows, strip.col : strip.col + cols] = strip.pixels[0]
        image = Image.fromarray(stored[0])
        image.getexif()[0x0112] = orientation
        assert (found == np.asarray(ImageOps.exif_transpose(image))).all(), orientation


@pytest.mark.parametrize(("width", "height"), [(1, 5000), (5000, 1), (1, 1)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_narrow_image_is_written_in_narrow_tiles(width: int, height: int, orientation: int) -> None:
    """Of 512 x 512 pixels each would have 128 MiB here."""
    options: dict[str, Any] = {"driver": "GTiff", "width": width, "height": height, "count": 64, "dtype": "float64"}
    with MemoryFile() as memory:
        with memory.open(sparse_ok=True, **options):
            pass
        with memory.open() as dataset:
            tiles = Strips(dataset, orientation).tile_bytes(64)
    decoded = width * height * 64 * 8
    assert decoded <= tiles <= 17 * decoded + 8 * 1024**2


def test_a_geotiff_stays_where_it_says_it_lies(converted: Converted, tmp_path: Path) -> None:
    path, heights = tmp_path / "heights.tif", np.arange(60 * 40, dtype=np.float32).reshape(1, 40, 60)
    place = Affine(0.5, 0.1, 16, 0.1, -0.5, 48)
    options: dict[str, Any] = {"driver": "GTiff", "width": 60, "height": 40, "count": 1, "dtype": "float32"}
    with rasterio.open(path, "w", crs="EPSG:4326", transform=place, nodata=-1, **options) as plain:
        plain.write(heights)
    made = converted(path, "heights.tiff")
    assert made.item.name == "heights.tif"
    assert made.dataset.transform == place
    assert (made.dataset.crs.to_epsg(), made.dataset.nodata) == (4326, -1)
    assert (made.dataset.read() == heights).all()
    assert cog.faults_of(made.path) == []


def test_a_geotiff_keeps_its_mask(converted: Converted, tmp_path: Path) -> None:
    path, seen = tmp_path / "masked.tif", np.indices((40, 60)).sum(axis=0) % 2 * 255
    options: dict[str, Any] = {"driver": "GTiff", "width": 60, "height": 40, "count": 3, "dtype": "uint8"}
    options |= {"crs": "EPSG:4326", "transform": Affine(0.5, 0, 16, 0, -0.5, 48)}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **options) as masked:
        masked.write(np.full((3, 40, 60), 7, np.uint8))
        masked.write_mask(seen.astype(np.uint8))
    assert (converted(path).dataset.dataset_mask() == seen).all()


def test_a_tiff_with_control_points_of_its_own_is_placed_by_them(converted: Converted, tmp_path: Path) -> None:
    path = tmp_path / "points.tif"
    points = [GroundControlPoint(row, col, 16 + col / 100, 48 - row / 100) for row in (0, 40) for col in (0, 60)]
    options: dict[str, Any] = {"driver": "GTiff", "width": 60, "height": 40, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", gcps=points, crs="EPSG:4326", **options) as plain:
        plain.write(np.ones((1, 40, 60), np.uint8))
    made = converted(path)
    assert made.dataset.transform.almost_equals(Affine(0.01, 0, 16, 0, -0.01, 48), 1e-9)


def test_the_stages_stand_on_the_timeline_in_their_order(converted: Converted) -> None:
    stages = [(at, message) for at, _, message in converted(saved(picture(), "PNG"), **PLACE).run.progress]
    expected = [
        (0, "Starting conversion"),
        (10, "Loading file"),
        (20, "Analyzing file"),
        (40, "Creating georeferenced file"),
        (80, "Updating database"),
        (100, "Conversion complete"),
    ]
    assert [stage for stage in stages if stage in expected] == expected
    assert {message for _, message in stages} == {message for _, message in expected}
    assert [at for at, _ in stages] == sorted(at for at, _ in stages)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v1.2 map", "v1.2 map.tif"),
        ("v1.2 map.PNG", "v1.2 map.tif"),
        ("photo.jpeg", "photo.tif"),
        ("raster.tif", "raster.tif"),
        ("scan.tiff.zip", "scan.tiff.zip.tif"),
        (".png", "raster.tif"),
        ("ü" * 127, "ü" * 125 + ".tif"),
    ],
)
def test_only_the_suffix_of_an_image_is_taken_from_the_name(name: str, expected: str) -> None:
    assert raster_name(name) == expected
    assert len(expected.encode()) <= 255


@pytest.mark.parametrize("corners", [False, True], ids=["bounds", "control points"])
def test_measured_values_keep_what_they_are_measured_in(converted: Converted, tmp_path: Path, corners: bool) -> None:
    left, bottom, right, top = BOUNDS
    place = [(0, 0, left, top), (0, 400, right, top), (300, 0, left, bottom), (300, 400, right, bottom)]
    points = [dict(zip(("row", "col", "x", "y"), point, strict=True)) for point in place]
    path = tmp_path / "heights.tif"
    options: dict[str, Any] = {"width": 400, "height": 300, "count": 2, "dtype": "int16", "nodata": -999}
    with rasterio.open(path, "w", driver="GTiff", **options) as target:
        target.write(np.arange(240_000, dtype="int16").reshape(2, 300, 400))
        target.scales, target.offsets = (0.01, 1), (273.15, 0)
        target.set_band_unit(1, "K")
        target.descriptions = ("temperature", "flags")
    made = converted(path, **({"control_points": points, "crs": "EPSG:3857"} if corners else PLACE)).dataset
    assert (made.scales, made.offsets) == ((0.01, 1), (273.15, 0))
    assert (made.units, made.descriptions) == (("K", None), ("temperature", "flags"))
    assert made.nodata == -999
