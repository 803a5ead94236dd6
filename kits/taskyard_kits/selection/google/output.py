"""The tabs that a run makes: all of them or none, and once in all attempts.

They are written hidden, marked with the task's id, under titles of their own. One last change (`batchUpdate` applies all
of its requests or none) gives them their titles, shows them and marks them as complete. So a crash leaves tabs that the
next attempt recognises: complete ones stay, others are deleted and written anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

import orjson

from taskyard import InputUnusable, TaskContext

from . import names
from .spreadsheets import Contents, Request, Rows, Spreadsheet, Tab

# Keys of developer metadata, which people don't see; the value is the id of a task.
UNFINISHED = "taskyard.unfinished"
COMPLETE = "taskyard.complete"
# Google recommends at most 2 MB a request.
_MOST_BYTES = 1_500_000
# Several runs may choose the same number at the same time.
_TRIES = 5
_HEAD = {"red": 0.6, "green": 0.8, "blue": 1.0}


def written(context: TaskContext, spreadsheet: Spreadsheet) -> list[Tab]:
    """The tabs that an earlier attempt of this task completed: those of the selected and the remaining people, or
    empty."""
    return _complete(spreadsheet.contents(), context)


def write(context: TaskContext, spreadsheet: Spreadsheet, selected: Rows, remaining: Rows) -> list[Tab]:
    """Writes both tables (their first row is the header) into new tabs; returns the tabs. Raises TaskError."""
    contents = spreadsheet.contents()
    if done := _complete(contents, context):
        return done
    begun = [_begun(context, part) for part in ("selected", "remaining")]
    stale = [tab for tab in contents.tabs if tab.has(UNFINISHED, str(context.task_id))]
    tables = (selected, remaining)
    spreadsheet.change(
        *({"deleteSheet": {"sheetId": tab.id}} for tab in stale),
        *(request for tab, rows in zip(begun, tables, strict=True) for request in _added(context, tab, rows)),
    )
    for tab, rows in zip(begun, tables, strict=True):
        for first, piece in _pieces(rows):
            spreadsheet.put(tab, first, piece)
    return _finish(context, spreadsheet)


def _finish(context: TaskContext, spreadsheet: Spreadsheet) -> list[Tab]:
    for tries in range(1, _TRIES + 1):
        contents = spreadsheet.contents()
        tabs = [tab for tab in contents.tabs if tab.has(UNFINISHED, str(context.task_id))]
        titles = names.free_pair(tab.title for tab in contents.tabs)
        try:
            spreadsheet.change(*(r for tab, title in zip(tabs, titles, strict=True) for r in _completed(tab, title)))
        except InputUnusable:
            taken = {tab.title for tab in spreadsheet.contents().tabs}
            if tries == _TRIES or taken.isdisjoint(titles):
                raise
        else:
            return [Tab(tab.id, title) for tab, title in zip(tabs, titles, strict=True)]
    raise AssertionError("the last try returns or raises")
