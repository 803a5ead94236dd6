"""The table in a tab: its first row is the header, the rows below have a cell for each of its columns."""

from __future__ import annotations

from taskyard import InputUnusable, TaskContext

from .spreadsheets import Spreadsheet, spreadsheet_of

Table = list[list[str]]


def table_of(context: TaskContext, spreadsheet_id: str, tab_name: str) -> Table:
    """Reads a tab. Raises TaskError: what the calls raise, `tab_not_found`, and `table_empty` and `table_ragged`, whose
    `table` is the tab's name."""
    return _read(spreadsheet_of(context, spreadsheet_id), tab_name)


def _read(spreadsheet: Spreadsheet, tab_name: str) -> Table:
    rows = spreadsheet.rows(spreadsheet.tab(tab_name))
    if len(rows) < 2:
        raise InputUnusable("table_empty", table=f"“{tab_name}”")
    columns = len(rows[0])
    for number, row in enumerate(rows, 1):
        if len(row) > columns:
            raise InputUnusable("table_ragged", table=f"“{tab_name}”", row=number, cells=len(row), columns=columns)
    # People leave rows empty between others; Google leaves out the empty cells at a row's end.
    return [row + [""] * (columns - len(row)) for row in rows if any(cell.strip() for cell in row)]
