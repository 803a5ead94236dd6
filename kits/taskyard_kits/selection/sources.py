"""Where the tables of a draw come from: a stored file, the parameters, or a tab of a Google spreadsheet."""

from __future__ import annotations

from taskyard import TaskContext
from taskyard_kits.stored_files import find, opened

from . import tables
from .declarations import Source
from .google.tables import table_of
from .tables import Bounds, Table


def read(source: Source, bounds: Bounds, context: TaskContext) -> Table:
    """The table, checked and bounded. Raises TaskError."""
    if source.item_id is not None:
        item = find(context, source.item_id)
        with opened(context, item) as file:
            return tables.of_csv(file, item.size, bounds)
    if source.rows is not None:
        return tables.of_objects(source.rows, bounds)
    return table_of(context, source.gsheet_id or "", source.tab_name or "", bounds)  # one of the three is given
