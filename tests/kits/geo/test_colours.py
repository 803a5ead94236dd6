"""Images of every kind of pixel become bands of the right colours, or are refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image, ImageCms

from taskyard_kits.geo import source
from taskyard_kits.geo.refusals import Refused
from taskyard_kits.geo.strips import Strips
from tests.kits.geo.conftest import PLACE, Converted, saved

# What rasterio says of images that lie nowhere yet.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

GREY = Image.linear_gradient("L").resize((64, 48))
COLOURS = Image.merge("RGB", (GREY, GREY.transpose(Image.Transpose.FLIP_TOP_BOTTOM), Image.new("L", GREY.size, 60)))
CLEAR = COLOURS.copy()
CLEAR.putalpha(GREY)


def bands_of(content: bytes, tmp_path: Path) -> tuple[Any, list[str]]:
    """The pixels as rows, columns and bands, and what the bands mean."""
    path = tmp_path / "image"
    path.write_bytes(content)
    with path.open("rb") as file, source.opened(str(path), driver := source.driver_of(file)) as dataset:
        source.check_head(file, driver, dataset)
        strips = Strips(dataset, 1)
        pixels = np.concatenate([strip.pixels for strip in strips], axis=1)
        return np.moveaxis(pixels, 0, -1), [colour.name for colour in strips.bands.colours]


def png(bits: int, rows: list[bytes], width: int, *chunks: bytes) -> bytes:
    """Grey, of fewer bits than Pillow writes."""
    head = struct.pack(">IIBBBBB", width, len(rows), bits, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", head), *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("image", "mode", "bands"),
    [
        (GREY, "L", ["gray"]),
        (GREY.convert("1"), "L", ["gray"]),
        (COLOURS, "RGB", ["red", "green", "blue"]),
        (CLEAR, "RGBA", ["red", "green", "blue", "alpha"]),
        (CLEAR.convert("LA"), "LA", ["gray", "alpha"]),
        (COLOURS.quantize(50), "RGB", ["red", "green", "blue"]),
        (GREY.quantize(16), "L", ["gray"]),
    ],
    ids=["grey", "one-bit", "colours", "colours-alpha", "grey-alpha", "palette", "grey-palette"],
)
def test_colours_are_those_of_the_image(
    image: Image.Image, mode: str, bands: list[str], kind: str, tmp_path: Path
) -> None:
    pixels, meant = bands_of(saved(image, kind), tmp_path)
    assert meant == bands
    expected = np.asarray(image.convert(mode))
    assert (pixels == (expected if expected.ndim == 3 else expected[:, :, None])).all()


def test_grey_of_two_and_four_bits_reaches_from_black_to_white(tmp_path: Path) -> None:
    assert bands_of(png(2, [bytes([0b00011011])], 4), tmp_path)[0][0, :, 0].tolist() == [0, 85, 170, 255]
    assert bands_of(png(4, [bytes([0x01, 0xEF])], 4), tmp_path)[0][0, :, 0].tolist() == [0, 17, 238, 255]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_stay_sixteen_bits(kind: str, tmp_path: Path) -> None:
    values = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20
    pixels, _ = bands_of(saved(Image.fromarray(values), kind), tmp_path)
    assert pixels.dtype == np.uint16
    assert (pixels[:, :, 0] == values).all()


def test_a_colour_that_is_named_clear_becomes_alpha(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 1), (9, 9, 9))
    image.putpixel((1, 0), (9, 9, 8))
    pixels, meant = bands_of(saved(image, "PNG", transparency=(9, 9, 9)), tmp_path)
    assert meant == ["red", "green", "blue", "alpha"]
    assert pixels[0, :, 3].tolist() == [0, 255, 0, 0]
    # Grey of two bits, of which the second value is clear.
    clear = chunk(b"tRNS", b"\0\1")
    pixels, meant = bands_of(png(2, [bytes([0b00011011])], 4, clear), tmp_path)
    assert (meant, pixels[0].tolist()) == (["gray", "alpha"], [[0, 255], [85, 0], [170, 255], [255, 255]])


def test_clear_entries_of_a_palette_become_alpha(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([1, 2, 3, 4, 5, 6, 7, 8, 9])
    image.putdata([0, 1, 2])
    pixels, meant = bands_of(saved(image, "PNG", transparency=bytes([255, 0, 128])), tmp_path)
    assert meant == ["red", "green", "blue", "alpha"]
    assert pixels[0].tolist() == [[1, 2, 3, 255], [4, 5, 6, 0], [7, 8, 9, 128]]


def test_a_mask_beside_a_palette_becomes_alpha(tmp_path: Path) -> None:
    options: dict[str, Any] = {"driver": "GTiff", "width": 2, "height": 1, "count": 1, "dtype": "uint8"}
    path = tmp_path / "masked.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **options) as made:
        made.write(np.array([[[1, 1]]], np.uint8))
        made.write_colormap(1, {0: (1, 2, 3, 255), 1: (9, 8, 7, 255)})
        made.write_mask(np.array([[255, 0]], np.uint8))
    pixels, meant = bands_of(path.read_bytes(), tmp_path)
    assert meant == ["red", "green", "blue", "alpha"]
    assert pixels[0].tolist() == [[9, 8, 7, 255], [9, 8, 7, 0]]


def tiff(path: Path, pixels: Any, **options: Any) -> bytes:
    count, height, width = pixels.shape
    options |= {"driver": "GTiff", "width": width, "height": height, "count": count, "dtype": pixels.dtype}
    with rasterio.open(path, "w", **options) as made:
        made.write(pixels)
    return path.read_bytes()


@pytest.mark.parametrize(("bits", "white"), [(1, 255), (2, 255), (4, 255), (7, 127), (8, 255), (12, 4095), (16, 65535)])
def test_tiffs_whose_least_value_is_white_are_not_negatives(bits: int, white: int, tmp_path: Path) -> None:
    values = np.array([[[0, 2**bits - 1]]], np.uint8 if bits <= 8 else np.uint16)
    content = tiff(tmp_path / "white.tif", values, nbits=bits, photometric="MINISWHITE")
    pixels, meant = bands_of(content, tmp_path)
    assert (pixels[0, :, 0].tolist(), meant) == ([white, 0], ["gray"])


def test_of_a_tiff_whose_least_value_is_white_alpha_stays(tmp_path: Path) -> None:
    values = np.array([[[0, 1000]], [[65535, 7]]], np.uint16)
    pixels, meant = bands_of(tiff(tmp_path / "a.tif", values, photometric="MINISWHITE", alpha="YES"), tmp_path)
    assert (pixels[0].tolist(), meant) == ([[65535, 65535], [64535, 7]], ["gray", "alpha"])
    # Also where a value of the file is clear.
    pixels, meant = bands_of(tiff(tmp_path / "b.tif", values[:1], photometric="MINISWHITE", nodata=1000), tmp_path)
    assert (pixels[0].tolist(), meant) == ([[65535, 65535], [64535, 0]], ["gray", "alpha"])


def test_a_placed_tiff_whose_least_value_is_white_is_no_negative(converted: Converted, tmp_path: Path) -> None:
    values = np.arange(64 * 48, dtype=np.uint16).reshape(1, 48, 64)
    place = {"crs": "EPSG:4326", "transform": rasterio.Affine(0.001, 0, 16, 0, -0.001, 48)}
    tiff(tmp_path / "white.tif", values, photometric="MINISWHITE", **place)
    made = converted(tmp_path / "white.tif")
    assert made.dataset.transform == place["transform"]
    assert made.dataset.colorinterp[0].name == "gray"
    assert (made.dataset.read() == 65535 - values).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
def test_a_placed_tiff_of_a_few_bits_stays_as_it_is(converted: Converted, bits: int, tmp_path: Path) -> None:
    values = np.random.default_rng(7).integers(0, 2**bits, (1, 60, 70)).astype(np.uint8 if bits < 8 else np.uint16)
    place = {"crs": "EPSG:4326", "transform": rasterio.Affine(0.001, 0, 16, 0, -0.001, 48)}
    tiff(tmp_path / "few.tif", values, nbits=bits, **place)
    made = converted(tmp_path / "few.tif")
    assert (made.dataset.read() == values).all()
    assert made.dataset.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == str(bits)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_keep_their_colours(mode: str, tmp_path: Path) -> None:
    image = COLOURS.convert(mode)
    for options in ({}, {"progressive": True}):
        pixels, _ = bands_of(saved(image, "JPEG", quality=95, **options), tmp_path)
        expected = np.asarray(image).reshape(pixels.shape)
        assert np.abs(pixels.astype(int) - expected).max() < 12


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("LAB", "TIFF")])
def test_colours_of_print_are_refused(mode: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as e:
        bands_of(saved(Image.new(mode, (8, 8)), kind), tmp_path)
    assert e.value.code == "colours_unsupported"


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(("photometric", "count"), [("CMYK", 4), ("CIELAB", 3), ("ICCLAB", 3), ("ITULAB", 3)])
def test_tiffs_in_colours_of_print_are_refused(photometric: str, count: int, dtype: str, tmp_path: Path) -> None:
    content = tiff(tmp_path / "print.tif", np.ones((count, 8, 8), dtype), photometric=photometric)
    with pytest.raises(Refused) as e:
        bands_of(content, tmp_path)
    assert e.value.code == "colours_unsupported"


def test_wide_luminance_and_chrominance_are_refused(tmp_path: Path) -> None:
    """YCbCr of 16 bits, which rasterio does not write: RGB whose tags 262 and 530 are changed."""
    content = tiff(tmp_path / "wide.tif", np.ones((3, 8, 8), np.uint16), photometric="RGB")
    photometric, sample_format = struct.pack("<HHI", 262, 3, 1), struct.pack("<HH", 339, 3)
    at, last = content.index(photometric), content.index(sample_format)
    whole = struct.pack("<HHIHH", 530, 3, 2, 1, 1)  # no subsampling
    content = content[: at + 8] + struct.pack("<HH", 6, 0) + content[at + 12 : last] + whole + content[last + 12 :]
    with pytest.raises(Refused) as e:
        bands_of(content, tmp_path)
    assert e.value.code == "colours_unsupported"


@pytest.mark.parametrize("meaning", [4, 32803, 34892, 32844])
@pytest.mark.parametrize("bigtiff", ["NO", "YES"])
@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
def test_tiffs_of_masks_and_of_sensors_are_refused(meaning: int, bigtiff: str, order: str, tmp_path: Path) -> None:
    content = tiff(tmp_path / "raw.tif", np.ones((1, 8, 8), np.uint16), bigtiff=bigtiff, endianness=order)
    # Tag 262, a short or a long, one of it.
    form = ("<" if order == "LITTLE" else ">") + ("HHQHH" if bigtiff == "YES" else "HHIHH")
    at = content.index(struct.pack(form[:-2], 262, 3, 1))
    for kind, value in ((3, (meaning, 0)), (4, (meaning, 0) if order == "LITTLE" else (0, meaning))):
        entry = struct.pack(form, 262, kind, 1, *value)
        with pytest.raises(Refused) as e:
            bands_of(content[:at] + entry + content[at + len(entry) :], tmp_path)
        assert e.value.code == "colours_unsupported"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"dtype": "complex64", "count": 1}, "values_unsupported"),
        ({"dtype": "uint8", "count": 4, "photometric": "RGB", "alpha": "PREMULTIPLIED"}, "colours_unsupported"),
        # Of two and of three samples beside the colours, the first is the alpha.
        ({"dtype": "uint8", "count": 5, "photometric": "RGB", "alpha": "PREMULTIPLIED"}, "colours_unsupported"),
        ({"dtype": "uint8", "count": 6, "photometric": "RGB", "alpha": "PREMULTIPLIED"}, "colours_unsupported"),
    ],
)
def test_pixels_that_would_come_out_wrong_are_refused(options: dict[str, Any], code: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.tif"
    with rasterio.open(path, "w", driver="GTiff", width=8, height=8, **options) as made:
        made.write(np.ones((options["count"], 8, 8), options["dtype"]))
    with pytest.raises(Refused) as e:
        bands_of(path.read_bytes(), tmp_path)
    assert e.value.code == code


def test_alpha_and_palettes_arrive_in_the_raster(converted: Converted) -> None:
    made = converted(saved(CLEAR, "PNG"), **PLACE)
    assert [colour.name for colour in made.dataset.colorinterp] == ["red", "green", "blue", "alpha"]
    assert (made.pixels == np.asarray(CLEAR)).all()
    assert made.dataset.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_colour_profile_arrives_in_the_raster(converted: Converted, kind: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = converted(saved(COLOURS, kind, icc_profile=profile), **PLACE)
    with Image.open(made.path) as image:
        assert image.info["icc_profile"] == profile


def test_a_placed_map_of_classes_keeps_them(converted: Converted, tmp_path: Path) -> None:
    """Its values are names: no colours take their place, and overviews have no values in between."""
    path = tmp_path / "classes.tif"
    classes = np.where(np.indices((1, 700, 700))[1] % 2, 1, 7).astype(np.uint8)
    options: dict[str, Any] = {"driver": "GTiff", "width": 700, "height": 700, "count": 1, "dtype": "uint8"}
    place = rasterio.Affine(0.001, 0, 16, 0, -0.001, 48)
    with rasterio.open(path, "w", crs="EPSG:4326", transform=place, **options) as made:
        made.write(classes)
        made.write_colormap(1, {1: (200, 0, 0, 255), 7: (0, 0, 200, 255)})
    raster = converted(path)
    assert raster.dataset.colormap(1)[7] == (0, 0, 200, 255)
    assert (raster.dataset.read() == classes).all()
    with rasterio.open(raster.path, overview_level=0) as overview:
        assert set(np.unique(overview.read())) <= {1, 7}
