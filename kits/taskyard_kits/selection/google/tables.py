"""The table in a tab, and tables as new tabs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from taskyard import TaskContext
from taskyard.store.tree_items import TreeItem
from taskyard_kits.selection import tables
from taskyard_kits.selection.tables import MIB, Bounds, Table
from taskyard_kits.stored_files import opened

from . import output
from .spreadsheets import Spreadsheet, spreadsheet_of


def table_of(context: TaskContext, spreadsheet_id: str, tab_name: str, bounds: Bounds) -> Table:
    """Reads a tab. Raises TaskError: what the calls raise, `tab_not_found`, and `table_*` as stored files do."""
    spreadsheet = spreadsheet_of(context, spreadsheet_id)
    return tables.of_lists(_padded(spreadsheet.rows(spreadsheet.tab(tab_name))), bounds)


def write_tabs(
    context: TaskContext, spreadsheet: Spreadsheet, selected: TreeItem, remaining: TreeItem
) -> tuple[str, str]:
    """Writes two stored lists into new tabs; returns the titles. Raises TaskError."""
    lists = (stored_rows(context, item) for item in (selected, remaining))
    first, second = output.write(context, spreadsheet, *lists)
    return first.title, second.title


def _padded(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Google leaves out the empty cells at a row's end."""
    columns = len(rows[0]) if rows else 0
    return [[*row, *[""] * (columns - len(row))] if row else [] for row in rows]


def stored_rows(context: TaskContext, item: TreeItem) -> list[list[str]]:
    """A list that a task of this kit stored as CSV, with its header. Raises TaskError."""
    with opened(context, item) as file:
        content = b"".join(iter(lambda: file.read(MIB), b""))
    return list(csv.reader(io.StringIO(content.decode(), newline="")))
