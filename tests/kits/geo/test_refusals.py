"""What strangers may send: no image, a damaged one, one that needs more than there is; and a converter that dies."""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from taskyard.domain.errors import TaskError
from taskyard_kits.geo import converter, process
from tests.kits.conftest import Run, Upload
from tests.kits.geo.conftest import NAME, PLACE, Refusal, picture, saved

WISH = {"is_raster": False, "bounds": None, "control_points": None, "crs": None, **PLACE}

# What rasterio says of images that lie nowhere yet.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def vrt(path: str) -> bytes:
    """A file of GDAL's that is nothing but the names of others."""
    return f"""<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
        <SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>
        """.encode()


def png_head(width: int, height: int, *, interlaced: int = 0) -> bytes:
    """A PNG that says how large it is, and has no pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def answers(content: bytes, tmp_path: Path, memory: int = process.CONVERTER_BYTES, **wish: Any) -> str:
    """What the converter says at last: a code, or that it made the raster."""
    path = tmp_path / "image"
    path.write_bytes(content)
    with path.open("rb") as file, process.started(file, tmp_path, memory, lambda: None) as started:
        started.tell(json.dumps({**WISH, **wish}))
        started.tell("go on")
        try:
            while "made" not in started.answer():
                pass
        except TaskError as e:
            return e.code
    return "made"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "image_unsupported"),
        (b"Dear madam or sir", "image_unsupported"),
        (saved(picture(), "GIF"), "image_unsupported"),
        (vrt("/etc/hostname"), "image_unsupported"),
        (b"\x89PNG\r\n\x1a\n", "image_damaged"),
        (b"\xff\xd8\xff\xe0", "image_damaged"),
        (b"II*\0" + vrt("/etc/hostname"), "image_damaged"),
        (saved(picture(), "PNG")[:-400], "image_damaged"),
        (png_head(30_000, 20_000), "image_too_large"),
        (png_head(100_001, 1), "image_too_large"),
        (png_head(9_000, 8_000, interlaced=1), "image_needs_memory"),
    ],
    ids=["empty", "text", "gif", "vrt", "png-head", "jpeg-head", "tiff-head", "cut", "wide", "long", "interlaced"],
)
def test_what_cannot_become_a_raster_is_refused(content: bytes, code: str, tmp_path: Path) -> None:
    assert answers(content, tmp_path) == code


NOISE = Image.fromarray(np.random.default_rng(7).integers(0, 255, (400, 600, 3), dtype=np.uint8))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_damaged_or_has_no_end_is_refused(progressive: bool, tmp_path: Path) -> None:
    jpeg = saved(NOISE, "JPEG", progressive=progressive)
    middle = len(jpeg) // 2
    without_some = jpeg[:middle] + jpeg[middle + 1000 :]
    for damaged in (without_some, jpeg[:-2]):
        assert answers(damaged, tmp_path) == "image_damaged"
    # Some cameras fill the file up, behind the pixels or behind the end.
    assert answers(jpeg + bytes(100), tmp_path) == "made"
    assert answers(jpeg[:-2] + bytes(10) + jpeg[-2:], tmp_path) == ("image_damaged" if progressive else "made")


def test_a_mask_that_is_damaged_is_the_images_fault(tmp_path: Path) -> None:
    path, noise = tmp_path / "masked.tif", np.asarray(NOISE)[:200, :200, 0]
    options: dict[str, Any] = {"driver": "GTiff", "width": 200, "height": 200, "count": 1, "dtype": "uint8"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **options) as made:
        made.write(noise[None])
        made.write_mask(noise > 127)
    # What is compressed in the file is the mask alone, and lies at its end.
    assert answers(path.read_bytes()[:-500], tmp_path) == "image_damaged"


def first_answer(image: Path, **wish: Any) -> dict[str, Any]:
    with (
        image.open("rb") as file,
        process.started(file, image.parent, process.CONVERTER_BYTES, lambda: None) as started,
    ):
        started.tell(json.dumps({**WISH, **wish}))
        try:
            return started.answer()
        except TaskError as e:
            return {"error": e.code}


def test_alpha_that_is_added_counts_for_the_size_of_a_raster(tmp_path: Path) -> None:
    """Eight bands of 22,000 x 22,000 pixels are 3.6 GiB, nine are more than 4."""
    path = tmp_path / "large.tif"
    options: dict[str, Any] = {"driver": "GTiff", "width": 22_000, "height": 22_000, "count": 8, "dtype": "uint8"}
    options |= {"crs": "EPSG:3857", "transform": Affine(1, 0, 1_820_000, 0, -1, 6_144_000), "nodata": 0}
    with rasterio.open(path, "w", tiled=True, sparse_ok=True, bigtiff="YES", **options):
        pass
    assert first_answer(path) == {"error": "raster_too_large"}
    # As it stands it gets none.
    assert "placed" in first_answer(path, bounds=None, crs=None)


def test_a_tiff_in_one_piece_is_refused_where_it_is_large(tmp_path: Path) -> None:
    """A single tile, compressed, of 225 million pixels."""
    side, deflate = 15_008, 8
    tags = {256: side, 257: side, 258: 8, 259: deflate, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    tiff = b"II*\0" + struct.pack("<I8xH", 16, len(tags)) + entries + bytes(4)
    assert answers(tiff, tmp_path) == "image_needs_memory"


def test_an_image_that_takes_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    noise = Image.effect_noise((3000, 3000), 90).convert("RGB")
    progressive = saved(noise, "JPEG", progressive=True, subsampling=0)
    assert answers(progressive, tmp_path, memory=80 * process.MIB) == "image_needs_memory"


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({}, "not_placed"),
        ({"bounds": [2.0, 1.0, 1.0, 2.0], "crs": "EPSG:4326"}, "bounds_invalid"),
        ({"bounds": [8e8, 1e6, 8.1e8, 2e6], "crs": "EPSG:3857"}, "place_outside"),
        ({"bounds": [1.0, 1.0, 2.0, 2.0], "crs": "EPSG:1"}, "crs_unknown"),
        ({"control_points": [dict.fromkeys(("row", "col", "x", "y"), n) for n in (0, 1, 2)], "crs": "EPSG:4326"},
         "control_points_collinear"),
    ],
)  # fmt: skip
def test_a_place_that_is_none_leaves_the_item_as_it_was(refusal: Refusal, wish: dict[str, Any], code: str) -> None:
    assert refusal(saved(picture(), "PNG"), **wish) == code


def test_content_that_was_damaged_in_the_storage_does_not_get_a_checksum_of_its_own(
    run: Run, upload: Upload, tmp_path: Path
) -> None:
    item = upload(saved(picture(), "TIFF"))
    [stored] = [path for path in (tmp_path / "storage").rglob("*") if path.name == item.storage_key]
    content = bytearray(stored.read_bytes())
    content[-1000] ^= 1
    stored.chmod(0o600)
    stored.write_bytes(content)
    assert run(NAME, {"item_id": item.id, **PLACE}).fault.code == "file_damaged"


def test_no_file_beside_the_image_is_looked_at(tmp_path: Path) -> None:
    """Of a raster that lies somewhere because of its neighbour, no place is known."""
    path = tmp_path / "image"
    path.write_bytes(saved(picture(), "TIFF"))
    for suffix in ("tfw", "wld", "aux.xml"):
        path.with_name(f"image.{suffix}").write_text("10\n0\n0\n-10\n0\n0\n")
    assert answers(path.read_bytes(), tmp_path, bounds=None, crs=None) == "not_placed"


@pytest.fixture
def stopped(tmp_path: Path) -> Any:
    """A converter that has looked at its image and waits."""
    path = tmp_path / "image"
    path.write_bytes(saved(picture(), "PNG"))
    with path.open("rb") as file, process.started(file, tmp_path, process.CONVERTER_BYTES, lambda: None) as started:
        started.tell(json.dumps(WISH))
        assert "placed" in started.answer()
        yield started


def test_a_converter_that_was_killed_is_no_fault_of_the_image(stopped: process.Converter) -> None:
    stopped.program.process.kill()
    with pytest.raises(RuntimeError, match="was killed"):
        stopped.answer()


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGSEGV, "image_damaged"), (signal.SIGXCPU, "raster_takes_too_long")]
)
def test_a_converter_that_died_of_its_image_is(stopped: process.Converter, sent: signal.Signals, code: str) -> None:
    stopped.program.process.send_signal(sent)
    with pytest.raises(TaskError) as e:
        stopped.answer()
    assert (e.value.code, e.value.retryable) == (code, False)


def test_what_ends_the_attempt_ends_the_converter(tmp_path: Path) -> None:
    class Cancelled(Exception):
        pass

    def check() -> None:
        raise Cancelled

    path = tmp_path / "image"
    path.write_bytes(saved(picture(), "PNG"))
    with path.open("rb") as file:
        made = process.started(file, tmp_path, process.CONVERTER_BYTES, check)
        with pytest.raises(Cancelled), made as started:
            started.answer()  # which waits for what it is asked for
    assert started.program.process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells of a parent's death")
def test_a_converter_does_not_outlive_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(saved(picture(), "PNG"))
    code = f"""
import json, os, signal, time
from pathlib import Path
from taskyard_kits.geo import process

with open({str(path)!r}, "rb") as file, process.started(file, Path({str(tmp_path)!r}), 1 << 28, bool) as started:
    started.tell({json.dumps(WISH)!r})
    started.answer()
    # Its standard input stays open: another process may have got it.
    sleeper = os.fork()
    if sleeper == 0:
        time.sleep(60)
        os._exit(0)
    print(started.program.process.pid, sleeper, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with worker:
        assert worker.stdout is not None
        converter, sleeper = map(int, worker.stdout.readline().split())
        try:
            assert worker.wait(30) == -signal.SIGKILL
            end = time.monotonic() + 40
            while is_alive(converter) and time.monotonic() < end:
                time.sleep(0.02)
            assert not is_alive(converter)
        finally:
            os.kill(sleeper, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process are Linux's")
def test_a_raster_that_cannot_be_written_is_tried_again_and_the_log_says_why(
    stopped: process.Converter, caplog: pytest.LogCaptureFixture
) -> None:
    # No file of it may be longer than that.
    resource.prlimit(stopped.program.process.pid, resource.RLIMIT_FSIZE, (5000, 5000))
    stopped.tell("go on")
    with pytest.raises(TaskError) as e:
        all(stopped.answer() for _ in iter(int, 1))
    assert (e.value.code, e.value.retryable) == ("raster_incomplete", True)
    [record] = caplog.records
    assert "raster_incomplete: " in record.message
    assert "rite" in record.message.partition("raster_incomplete: ")[2]  # as GDAL says it: write, Write


def test_a_full_disk_is_told_as_that() -> None:
    full = Path("/proc")  # a file system without a single free block
    assert converter.write_error(OSError(), full).code == "no_room_for_raster"
