"""selection.load_gsheet and selection.manage_old_tabs: tabs of Google spreadsheets."""

from __future__ import annotations

import csv
import io
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
from taskyard_kits.stored_files import opened

from . import old_tabs
from .rules import LOAD_RULES, RULES
from .spreadsheets import spreadsheet_of
from .tables import Table, table_of
from .words import LOAD_ERRORS, PHRASES, TAB_ERRORS

_MOST_NAME = 150


@task("selection.load_gsheet", queue="selection", rules=LOAD_RULES, errors=LOAD_ERRORS, phrases=PHRASES)
def load_gsheet(params: LoadGsheetParams, *, context: TaskContext) -> LoadGsheetResult:
    """Reads a tab of a Google spreadsheet, and stores it as a CSV file."""
    if made := kept(context):
        context.log("An earlier attempt stored the tab already.")
        return _loaded(made[0], _stored(context, made[0]))
    context.progress(0, 2, "Reading the tab")
    table = table_of(context, params.gsheet_id, params.tab_name)
    context.progress(1, 2, "Storing the file")
    file = MadeFile(
        name=_name(params.tab_name),
        object_type="selection_table",
        content_type="text/csv",
        write=partial(_write, table),
    )
    (item,) = keep(context, [file])
    context.progress(2, 2, "Done")
    return _loaded(item, table)


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


def _loaded(item: TreeItem, table: Table) -> LoadGsheetResult:
    return LoadGsheetResult(item_id=item.id, name=item.name, rows=len(table) - 1, columns=table[0])


def _write(table: Table, writer: Writer) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(table)
    writer.write(text.getvalue().encode())


def _stored(context: TaskContext, item: TreeItem) -> Table:
    with opened(context, item) as file:
        return list(csv.reader(io.StringIO(file.read().decode(), newline="")))


def _name(tab_name: str) -> str:
    """The tab's name, as a file's."""
    safe = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in tab_name).strip(". ")
    return f"{safe[:_MOST_NAME] or 'tab'}.csv"
