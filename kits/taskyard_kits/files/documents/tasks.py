"""files.convert_document: a stored document as PDF, stored beside it."""

from __future__ import annotations

from pathlib import PurePosixPath

from taskyard import TaskContext, TaskError, task
from taskyard.store.tree_items import TreeItem
from taskyard_kits.kept_files import MadeFile, keep, kept
from taskyard_kits.stored_files import find, opened, with_descriptor

from ..memory import memory_of
from ..words import STORED_FILE_ERRORS
from . import conversion
from .conversion import Pages
from .declarations import ConvertDocumentParams, ConvertDocumentResult, Format, LeftOut
from .reading import MAX_DOCX_BYTES, MAX_TEXT_BYTES
from .rules import DOCUMENT_RULE
from .words import DOCUMENT_ERRORS

_FORMATS: dict[str, Format] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".docx": "docx",
}


@task("files.convert_document", rules=(DOCUMENT_RULE,), errors={**STORED_FILE_ERRORS, **DOCUMENT_ERRORS})
def convert_document(params: ConvertDocumentParams, *, context: TaskContext) -> ConvertDocumentResult:
    """Makes a PDF of a stored Markdown, HTML or DOCX document, as a new tree item."""
    source = find(context, params.item_id)
    if made := kept(context):
        context.log("An earlier attempt made the PDF already.")
        return _result(made[0], None)
    kind = params.format or _FORMATS.get(PurePosixPath(source.name.lower()).suffix)
    if kind is None:
        raise TaskError("document_format", retryable=False)
    if source.size > (MAX_DOCX_BYTES if kind == "docx" else MAX_TEXT_BYTES):
        raise TaskError("document_too_large", retryable=False)
    context.progress(0, 2, "Making the pages")
    name = _name_of(source.name)
    # A cancellation or a limit is raised by `check`, and never between starting a process and seeing to its end.
    with opened(context, source) as stored, with_descriptor(context, stored) as file, context.shield:
        pages = conversion.convert(
            file,
            kind,
            paper=params.paper,
            language=params.language,
            title=PurePosixPath(name).stem,
            memory=memory_of(context.memory_bytes),
            check=context.check_cancelled,
            temp_dir=context.temp_dir,
        )
    context.progress(1, 2, "Storing the PDF")
    pdf = MadeFile(
        name=name,
        object_type="document",
        content_type="application/pdf",
        write=lambda writer: writer.write(pages.pdf),
    )
    (item,) = keep(context, [pdf], parent=source)
    context.progress(2, 2, "Done")
    return _result(item, pages)


def _name_of(source: str) -> str:
    """`report.docx` becomes `report.pdf`; of a path only the last part counts."""
    last = PurePosixPath(source.replace("\\", "/")).name
    stem = "".join(c for c in PurePosixPath(last).stem if c.isprintable()).strip(". ")[:150]
    return f"{stem or 'document'}.pdf"


def _result(item: TreeItem, pages: Pages | None) -> ConvertDocumentResult:
    assert item.parent_id is not None
    return ConvertDocumentResult(
        item_id=item.id,
        parent_id=item.parent_id,
        name=item.name,
        size=item.size,
        pages=None if pages is None else pages.count,
        left_out=None if pages is None else LeftOut(**pages.left_out),
    )
