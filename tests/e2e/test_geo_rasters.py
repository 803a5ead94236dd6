"""Rasters through HTTP, the queue, a worker as it is deployed, and back."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import rasterio
from PIL import Image

from tests.support.fleet import Fleet, wait_for

# What rasterio says of images that lie nowhere yet.
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

BOUNDS = [1_820_000.0, 6_140_000.0, 1_826_000.0, 6_144_000.0]
PLACE = {"bounds": BOUNDS, "crs": "EPSG:3857"}
STAGES = [
    (0, "Starting conversion"),
    (10, "Loading file"),
    (20, "Analyzing file"),
    (40, "Creating georeferenced file"),
    (80, "Updating database"),
    (100, "Conversion complete"),
]


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], new_redis_url: Callable[[], str]
) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("geo"), new_database(), new_redis_url())
    fleet.start_all(queues="geo_processing,selection", threads=1)
    yield fleet
    fleet.stop()


def upload(stack: Fleet, content: bytes, name: str) -> str:
    answer = stack.http.post("/tree-items", content=content, headers={"X-Filename": name})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["item_id"])


def ask(stack: Fleet, item: str, wish: dict[str, Any], **headers: str) -> Any:
    return stack.http.post(f"/tree-items/{item}/convert-to-geo-raster", json=wish, headers=headers)


def get(stack: Fleet, path: str, **headers: str) -> Any:
    return stack.http.get(path, headers=headers).raise_for_status().json()


def picture() -> bytes:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (600, 400), (255, 0, 0))
    image.paste((0, 0, 255), (300, 0, 600, 400))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.long
def test_an_image_becomes_a_raster_that_lies_where_it_was_asked_to(stack: Fleet, tmp_path: Path) -> None:
    item = upload(stack, picture(), "vienna 1.2.png")
    image = stack.http.get(f"/tree-items/{item}/content")
    asked = ask(stack, item, PLACE)
    assert (asked.status_code, asked.json()["status"]) == (202, "STARTED")
    task = asked.json()["task_id"]
    stack.wait_state(task, "succeeded", seconds=60)
    shown = get(stack, f"/tree-items/{item}")
    assert (shown["name"], shown["object_type"], shown["task_id"]) == ("vienna 1.2.tif", "geo_raster_file", task)
    assert shown["content_type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
    content = stack.http.get(f"/tree-items/{item}/content", headers={"If-None-Match": image.headers["ETag"]})
    assert content.status_code == 200
    (tmp_path / "made.tif").write_bytes(content.content)
    with rasterio.open(tmp_path / "made.tif") as raster:
        assert tuple(raster.transform)[:6] == (10, 0, BOUNDS[0], 0, -10, BOUNDS[3])
        assert (raster.crs.to_epsg(), raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"]) == (3857, "COG")
        # On either side of the edge between the colours, which lies in the middle.
        middle = (BOUNDS[0] + BOUNDS[2]) / 2
        found = [tuple(pixel) for pixel in raster.sample([(middle - 5, BOUNDS[1] + 5), (middle + 5, BOUNDS[3] - 5)])]
        assert found == [(255, 0, 0), (0, 0, 255)]
    events = get(stack, f"/tasks/{task}/events?limit=200")["items"]
    stages = [(event["data"]["current"], event["data"]["message"]) for event in events if event["kind"] == "progress"]
    assert stages == STAGES
    status = get(stack, f"/tasks/{task}/status")
    assert (status["state"], status["progress"], status["error"]) == ("SUCCESS", 100, None)
    assert get(stack, f"/tree-items/{item}/conversion-status")["status"] == "COMPLETED"
    again = ask(stack, item, PLACE).json()
    assert (again["task_id"], again["status"]) == (task, "COMPLETED")
    assert ask(stack, item, {**PLACE, "crs": "EPSG:3395"}).json()["code"] == "already_converted"


def test_an_image_without_a_place_fails_and_says_so_in_the_readers_language(stack: Fleet) -> None:
    item = upload(stack, picture(), "somewhere.png")
    task = ask(stack, item, {}).json()["task_id"]
    stack.wait_state(task, "failed", seconds=60)
    german = {"Accept-Language": "de"}
    error = get(stack, f"/tasks/{task}", **german)["error"]
    assert (error["code"], error["retryable"], error["attempt"]) == ("not_placed", False, 1)
    assert error["message"] == (
        "Die Datei selbst sagt nicht, wo sie liegt. Geben Sie bounds oder control_points an, und dazu ein crs."
    )
    assert get(stack, f"/tasks/{task}/status", **german)["error"] == error["message"]
    status = get(stack, f"/tree-items/{item}/conversion-status", **german)
    assert (status["status"], status["object_type"]) == ("FAILED", "file")
    assert status["message"] == "Die Umwandlung ist gescheitert; ihre Aufgabe sagt, warum."
    # With a place it can be asked for again.
    stack.wait_state(ask(stack, item, PLACE).json()["task_id"], "succeeded", seconds=60)


def test_a_conversion_that_is_cancelled_ends_its_process_and_leaves_the_image(stack: Fleet, tmp_path: Path) -> None:
    options: dict[str, Any] = {"driver": "GTiff", "width": 20_000, "height": 20_000, "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "large.tif", "w", tiled=True, sparse_ok=True, **options):
        pass
    large = (tmp_path / "large.tif").read_bytes()
    item = upload(stack, large, "large.tif")
    task = ask(stack, item, PLACE).json()["task_id"]
    path = f"/tasks/{task}/status"
    wait_for(lambda: get(stack, path)["status"] == "Creating georeferenced file", 60, "the conversion", every=0.05)
    assert get(stack, f"/tree-items/{item}/conversion-status")["status"] == "PROGRESS"
    assert converters(stack)
    cancelled = stack.http.post(f"/tasks/{task}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "CANCELLING")
    stack.wait_state(task, "cancelled", seconds=30)
    assert converters(stack) == []
    assert get(stack, path)["state"] == "CANCELLED"
    assert get(stack, f"/tree-items/{item}/conversion-status")["status"] == "CANCELLED"
    shown = get(stack, f"/tree-items/{item}")
    assert (shown["object_type"], shown["size"], shown["task_id"]) == ("file", len(large), None)
    attempts = stack.home / "temp" / "attempts"
    wait_for(lambda: [p for p in attempts.glob("*/*/*") if p.is_dir()] == [], 10, "its temporary files to go")


def converters(stack: Fleet) -> list[int]:
    """Processes of the stack that make a raster."""
    below = [child for process in stack.processes for child in psutil.Process(process.pid).children(recursive=True)]
    return [process.pid for process in below if "taskyard_kits.geo.converter" in process.cmdline()]
