"""files.import_data: from a stored file into the records, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import PurePosixPath

from taskyard import TaskContext, TaskError, task
from taskyard.store.tree_items import TreeItem
from taskyard_kits.stored_files import find, opened, with_descriptor

from ..memory import memory_of
from ..words import STORED_FILE_ERRORS
from . import text, workbook
from .chunks import Import
from .declarations import Format, ImportDataParams, ImportDataResult
from .rows import BadRow, Row
from .rules import IMPORT_RULE
from .words import IMPORT_ERRORS, IMPORT_PHRASES

_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}


@task(
    "files.import_data",
    rules=(IMPORT_RULE,),
    errors={**STORED_FILE_ERRORS, **IMPORT_ERRORS},
    phrases=IMPORT_PHRASES,
)
def import_data(params: ImportDataParams, *, context: TaskContext) -> ImportDataResult:
    """Imports a CSV, JSON Lines or Excel file into the records of a collection."""
    item = find(context, params.item_id)
    kind = params.format or _FORMATS.get(PurePosixPath(item.name.lower()).suffix)
    if kind is None:
        raise TaskError("import_format", retryable=False)
    importing = Import(params, context)
    with _rows(kind, item, params, context, importing) as rows:
        importing.run(rows)
    return importing.result


@contextmanager
def _rows(
    kind: Format, item: TreeItem, params: ImportDataParams, context: TaskContext, importing: Import
) -> Iterator[Iterator[Row | BadRow]]:
    """Raises TaskError before the first row where the file is not what was stored, or not in UTF-8."""
    if kind == "xlsx":
        if item.size > workbook.MAX_WORKBOOK_BYTES:
            raise TaskError("import_too_large", retryable=False)
        context.progress(0, None, "Opening the workbook")
        # A cancellation or a limit is raised by `check`, and never between starting a process and seeing to its end.
        with opened(context, item) as stored, with_descriptor(context, stored) as file, context.shield:
            rows = workbook.rows(
                file,
                params.sheet or "",
                header=params.header,
                needed=_needed(params),
                memory=memory_of(context.memory_bytes),
                check=context.check_cancelled,
            )
            with closing(rows):
                yield rows
        return
    context.progress(0, item.size, "Checking the file")
    with opened(context, item) as file:
        if text.check(file, lambda _: context.check_cancelled()) != item.sha256:
            raise TaskError("file_damaged", retryable=False)
    with opened(context, item) as file:
        lines = text.lines(file, lambda size: importing.tell(size, item.size))
        if kind == "jsonl":
            yield text.json_rows(lines)
        else:
            delimiter = params.delimiter or ("\t" if item.name.lower().endswith(".tsv") else ",")
            yield text.csv_rows(lines, delimiter=delimiter, header=params.header, needed=_needed(params))


def _needed(params: ImportDataParams) -> list[str]:
    """The columns that are named: a table without one of them is refused before its first row."""
    return [*([] if params.key_column is None else [params.key_column]), *params.columns]
