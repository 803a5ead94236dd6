"""files.*: what is read from storage and what is put there."""

from __future__ import annotations

import hashlib

from taskyard import TaskContext, task
from taskyard.domain.errors import TaskError
from taskyard.store.tree_items import TreeItem
from taskyard_kits.kept_files import MadeFile, keep, kept
from taskyard_kits.stored_files import find, opened, with_descriptor

from . import thumbnails
from .declarations import (
    GenerateThumbnailParams,
    GenerateThumbnailResult,
    ProcessLargeFileParams,
    ProcessLargeFileResult,
)
from .lines import LineCounter, blocks
from .memory import memory_of
from .rules import IMAGE_RULE, STORED_FILE_RULE
from .thumbnails import Thumbnail
from .words import IMAGE_ERRORS, STORED_FILE_ERRORS


@task("files.process_large_file", rules=(STORED_FILE_RULE,), errors=STORED_FILE_ERRORS)
def process_large_file(params: ProcessLargeFileParams, *, context: TaskContext) -> ProcessLargeFileResult:
    """Reads a stored file line by line and counts its lines, blank lines and invalid lines."""
    item = find(context, params.item_id)
    # Read twice: how many lines there will be is what makes the progress a share of the whole, and whether these are
    # the bytes that were stored is known before their lines are reported.
    context.progress(0, None, "Counting the lines")
    total, digest = 0, hashlib.sha256()
    with opened(context, item) as file:
        for block in blocks(file):
            context.check_cancelled()
            total += block.count(b"\n")
            digest.update(block)
    if digest.hexdigest() != item.sha256:
        raise TaskError("file_damaged", retryable=False)
    counter = LineCounter(
        params.pattern, report=lambda lines: context.progress(lines, max(total, lines), "Reading the lines")
    )
    with opened(context, item) as file:
        for block in blocks(file):
            context.check_cancelled()
            counter.feed(block)
    counter.finish()
    if counter.bytes != item.size:
        raise TaskError("file_damaged", retryable=False)
    context.progress(counter.lines, counter.lines, "Done")
    return ProcessLargeFileResult(
        item_id=item.id,
        processed_lines=counter.lines,
        blank_lines=counter.blank,
        bytes=counter.bytes,
        invalid_lines=counter.invalid,
        invalid_line_numbers=counter.first_invalid,
        last_line_unterminated=counter.unterminated,
    )


@task("files.generate_thumbnail", rules=(IMAGE_RULE,), errors={**STORED_FILE_ERRORS, **IMAGE_ERRORS})
def generate_thumbnail(params: GenerateThumbnailParams, *, context: TaskContext) -> GenerateThumbnailResult:
    """Makes a small upright copy of a stored image, as a new tree item."""
    source = find(context, params.item_id)
    if made := kept(context):
        context.log("An earlier attempt made the thumbnail already.")
        with opened(context, made[0]) as file:
            return _result(made[0], *thumbnails.size_of(file))
    context.progress(0, 2, "Reading the image")
    memory = memory_of(context.memory_bytes)
    # A cancellation or a limit is raised by `check`, and never between starting a process and seeing to its end.
    with opened(context, source) as stored, with_descriptor(context, stored) as file, context.shield:
        thumbnail = thumbnails.render(file, params.width, params.height, memory, context.check_cancelled)
    context.progress(1, 2, "Storing the thumbnail")
    item = _keep(thumbnail, source, context)
    context.progress(2, 2, "Done")
    return _result(item, thumbnail.width, thumbnail.height)


def _keep(thumbnail: Thumbnail, source: TreeItem, context: TaskContext) -> TreeItem:
    made = MadeFile(
        name=thumbnails.name_of(source.name, thumbnail),
        object_type="thumbnail",
        content_type=thumbnail.content_type,
        write=lambda writer: writer.write(thumbnail.content),
    )
    (item,) = keep(context, [made], parent=source)
    return item


def _result(item: TreeItem, width: int, height: int) -> GenerateThumbnailResult:
    assert item.parent_id is not None
    return GenerateThumbnailResult(
        item_id=item.id,
        parent_id=item.parent_id,
        name=item.name,
        content_type=item.content_type,
        width=width,
        height=height,
        size=item.size,
    )
