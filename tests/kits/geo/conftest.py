"""Images, and what a task makes of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from sqlalchemy import Engine

from taskyard.domain.tasks import Failed, Succeeded
from taskyard.running.trial import TaskRun
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from taskyard.store.tree_items import TreeItem
from tests.kits.conftest import Run, Upload

NAME = "geo.convert_to_raster"
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
# A pixel is ten metres wide and high, in Vienna.
BOUNDS = [1_820_000.0, 6_140_000.0, 1_826_000.0, 6_144_000.0]
PLACE: dict[str, Any] = {"bounds": BOUNDS, "crs": "EPSG:3857"}

Converted = Callable[..., "Raster"]
Refusal = Callable[..., str]
After = Callable[[TreeItem], TreeItem]


def picture(width: int = 600, height: int = 400) -> Image.Image:
    """Red upper left, green upper right, blue lower left, white lower right."""
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


class Raster:
    """What an item holds after the conversion: `dataset` is open as long as the test runs."""

    def __init__(self, run: TaskRun, item: TreeItem, path: Path, dataset: Any) -> None:
        self.run = run
        self.item = item
        self.path = path
        self.dataset = dataset

    def at(self, x: float, y: float) -> tuple[int, ...]:
        """The pixel that lies there."""
        row, col = self.dataset.index(x, y)
        window = rasterio.windows.Window(col, row, 1, 1)
        return tuple(int(value) for value in self.dataset.read(window=window)[:, 0, 0])

    @property
    def pixels(self) -> Any:
        return np.moveaxis(self.dataset.read(), 0, -1)


@pytest.fixture
def after(engine: Engine) -> After:
    """The item as it is now."""

    def read(item: TreeItem) -> TreeItem:
        with ledger.connection(engine) as conn:
            return tree_items.get(conn, [item.id])[item.id]

    return read


@pytest.fixture
def converted(
    run: Run,
    upload: Upload,
    after: After,
    storage: LocalStorage,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Converted:
    def convert(content: bytes | Path, name: str = "picture.png", **wish: Any) -> Raster:
        source = upload(content, name)
        done = run(NAME, {"item_id": source.id, **wish})
        assert isinstance(done.outcome, Succeeded), done.outcome
        item = after(source)
        path = tmp_path / f"{item.storage_key}.tif"
        with storage.open(item.storage_key) as file:
            path.write_bytes(file.read())
        dataset = rasterio.open(path)
        request.addfinalizer(dataset.close)
        return Raster(done, item, path, dataset)

    return convert


@pytest.fixture
def refusal(run: Run, upload: Upload, after: After) -> Refusal:
    """The code with which an image is refused for good; its item stays as it is."""

    def refused(content: bytes | Path, **wish: Any) -> str:
        source = upload(content, "picture.png")
        outcome = run(NAME, {"item_id": source.id, **wish}).outcome
        assert isinstance(outcome, Failed), outcome
        assert not outcome.fault.retryable
        assert after(source) == source
        return outcome.fault.code

    return refused
