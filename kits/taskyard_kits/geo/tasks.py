"""geo.*: images get a place on earth."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from taskyard import TaskContext, TaskError, task
from taskyard.storage.interface import Writer
from taskyard.store.tree_items import TreeItem
from taskyard_kits.kept_files import MadeFile, put_in_place
from taskyard_kits.stored_files import ERRORS as STORED_FILE_ERRORS
from taskyard_kits.stored_files import find, opened, with_descriptor

from . import process
from .declarations import ConvertParams, ConvertResult
from .names import RASTER, raster_name
from .process import Converter
from .rules import RASTER_RULE
from .words import IMAGE_ERRORS, PLACE_ERRORS

GEO_RASTER = "geo_raster_file"
# As the Open Geospatial Consortium has it (21-026, requirement 13).
CONTENT_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
_PIECE_BYTES = 1024**2
_CREATING, _STORING = 40, 80
# Of that time, the tiles take so much; GDAL does not tell how far it is with the rest.
_TILES_SHARE = 0.6


@task(
    "geo.convert_to_raster",
    queue="geo_processing",
    rules=(RASTER_RULE,),
    errors={**STORED_FILE_ERRORS, **IMAGE_ERRORS, **PLACE_ERRORS},
)
def convert_to_raster(params: ConvertParams, *, context: TaskContext) -> ConvertResult:
    """Makes a stored image a Cloud-Optimised GeoTIFF, by bounds, by control points, or by what the file says itself."""
    context.progress(0, 100, "Starting conversion")
    item = find(context, params.item_id)
    context.progress(10, 100, "Loading file")
    # A cancellation or a limit is raised by `check_cancelled`, and never between starting a process and seeing to its
    # end.
    with opened(context, item) as stored, with_descriptor(context, stored) as file, context.shield:
        _check_whole(file, item, context)
        made = _converted(file, item, params, context)
    if made.file is None:
        context.log("The file is this raster already.")
    else:
        context.progress(_STORING, 100, "Updating database")
        item = _put(made.file, item, context)
    context.progress(100, 100, "Conversion complete")
    return ConvertResult(
        item_id=item.id, object_type=item.object_type, name=item.name, size=item.size, **made.description
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """The raster as a result describes it, and its file; None where the item holds it already."""

    description: dict[str, Any]
    file: Path | None


def _check_whole(file: BinaryIO, item: TreeItem, context: TaskContext) -> None:
    """What is damaged must not take the place of what it was, with a checksum of its own."""
    digest = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
        context.check_cancelled()
    if digest.hexdigest() != item.sha256:
        raise TaskError("file_damaged", retryable=False)


def _converted(file: BinaryIO, item: TreeItem, params: ConvertParams, context: TaskContext) -> _Made:
    wish = {**params.model_dump(mode="json", exclude={"item_id"}), "is_raster": item.object_type == GEO_RASTER}
    check, places = context.check_cancelled, process.places_of(context.memory_bytes)
    with (
        places.taken(check),
        process.started(file, context.temp_dir, places.converter_bytes, check) as converter,
    ):
        context.progress(20, 100, "Analyzing file")
        converter.tell(json.dumps(wish))
        description = converter.answer()["placed"]
        if wish["is_raster"]:
            return _Made(description, None)
        _create(converter, context)
        return _Made(description, context.temp_dir / RASTER)


def _create(converter: Converter, context: TaskContext) -> None:
    stage = "Creating georeferenced file"
    context.progress(_CREATING, 100, stage)
    converter.tell("go on")
    while "made" not in (answer := converter.answer()):
        context.progress(round(_CREATING + (_STORING - _CREATING) * _TILES_SHARE * answer["done"]), 100, stage)


def _put(raster: Path, item: TreeItem, context: TaskContext) -> TreeItem:
    def write(writer: Writer) -> None:
        with raster.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                writer.write(piece)
                context.check_cancelled()

    made = MadeFile(name=raster_name(item.name), object_type=GEO_RASTER, content_type=CONTENT_TYPE, write=write)
    stored = put_in_place(context, item, made)
    if stored is None:
        find(context, item.id)  # raises where it is gone
        # Another attempt was faster, or another task: what is there now decides.
        raise TaskError("content_changed")
    return stored
