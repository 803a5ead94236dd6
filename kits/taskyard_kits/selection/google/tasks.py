"""selection.load_gsheet and selection.manage_old_tabs: tabs of Google spreadsheets."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from functools import partial

from taskyard import TaskContext, task
from taskyard.storage.interface import Writer
from taskyard.store.tree_items import TreeItem
from taskyard_kits.kept_files import MadeFile, keep, kept
from taskyard_kits.selection.declarations import (
    LoadGsheetParams,
    LoadGsheetResult,
    ManageOldTabsParams,
    ManageOldTabsResult,
)
from taskyard_kits.selection.tables import PEOPLE

from . import old_tabs
from .rules import LOAD_RULES, RULES
from .spreadsheets import Rows, spreadsheet_of
from .tables import stored_rows, table_of
from .words import LOAD_ERRORS, PHRASES, TAB_ERRORS

_MOST_NAME = 150
# A tab that people are drawn from, whatever it is for.
_TAB = replace(PEOPLE, name="tab")


@task("selection.load_gsheet", queue="selection", rules=LOAD_RULES, errors=LOAD_ERRORS, phrases=PHRASES)
def load_gsheet(params: LoadGsheetParams, *, context: TaskContext) -> LoadGsheetResult:
    """Reads a tab of a Google spreadsheet, and stores it as a CSV file."""
    if made := kept(context):
        context.log("An earlier attempt stored the tab already.")
        return _loaded(made[0], stored_rows(context, made[0]))
    context.progress(0, 2, "Reading the tab")
    table = table_of(context, params.gsheet_id, params.tab_name, _TAB)
    rows = [table.header, *(row for row in table.rows if any(cell.strip() for cell in row))]
    context.progress(1, 2, "Storing the file")
    file = MadeFile(
        name=_name(params.tab_name),
        object_type="selection_table",
        content_type="text/csv",
        write=partial(_write, rows),
    )
    (item,) = keep(context, [file])
    context.progress(2, 2, "Done")
    return _loaded(item, rows)


@task("selection.manage_old_tabs", queue="selection", rules=RULES, errors=TAB_ERRORS, phrases=PHRASES)
def manage_old_tabs(params: ManageOldTabsParams, *, context: TaskContext) -> ManageOldTabsResult:
    """Lists, archives or deletes the tabs that runs of selection.run_select made in a Google spreadsheet."""
    spreadsheet = spreadsheet_of(context, params.gsheet_id)
    dry_run = params.is_dry_run
    if not dry_run:
        spreadsheet.check_writable()
    done = old_tabs.manage(context, spreadsheet, params.action, dry_run=dry_run)
    return ManageOldTabsResult(
        action=params.action, dry_run=dry_run, tabs=done.tabs, archived=done.archived, changed=done.changed
    )


def _loaded(item: TreeItem, rows: Rows) -> LoadGsheetResult:
    return LoadGsheetResult(item_id=item.id, name=item.name, rows=len(rows) - 1, columns=list(rows[0]))


def _write(rows: Rows, writer: Writer) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    writer.write(text.getvalue().encode())


def _name(tab_name: str) -> str:
    """The tab's name, as a file's."""
    safe = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in tab_name).strip(". ")
    return f"{safe[:_MOST_NAME] or 'tab'}.csv"
