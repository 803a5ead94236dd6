"""Developer metadata: what tabs and spreadsheets remember of tasks, and people don't see.

https://developers.google.com/workspace/sheets/api/guides/metadata
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from .spreadsheets import Contents, Mark, Request, Tab

_RUN = "taskyard.run"
_MANAGED = "taskyard.managed"
_UNFINISHED, _COMPLETE = "unfinished", "complete"
# Much longer than an attempt may write: its limit is 60 minutes, unless the submit names another. A later attempt of
# the same task writes its tabs anew.
_ABANDONED_SECONDS = 86_400


def unfinished(tab: Tab, task_id: UUID) -> Request:
    """Marks a new tab that the task writes."""
    return _created(_RUN, f"{_UNFINISHED} {task_id} {int(time.time())}", {"sheetId": tab.id})


def complete(tab: Tab, task_id: UUID) -> Request:
    """Changes the mark of a tab, as it was read, to that of one that is written."""
    (mark,) = (mark for mark in tab.marks if mark.key == _RUN)
    return {
        "updateDeveloperMetadata": {
            "dataFilters": [_by_id(mark)],
            "developerMetadata": {"metadataValue": f"{_COMPLETE} {task_id}"},
            "fields": "metadataValue",
        }
    }


def is_unfinished(tab: Tab, task_id: UUID) -> bool:
    return _state(tab)[:2] == [_UNFINISHED, str(task_id)]


def is_complete(tab: Tab, task_id: UUID) -> bool:
    return _state(tab) == [_COMPLETE, str(task_id)]


def is_abandoned(tab: Tab, now: float) -> bool:
    """Whether the attempt that began it has ended without completing it."""
    match _state(tab):
        case ["unfinished", _, begun] if begun.isdecimal():
            return now - int(begun) > _ABANDONED_SECONDS
    return False


def manage(contents: Contents, task_id: UUID, titles: Sequence[str]) -> list[Request]:
    """Has the spreadsheet remember, with the change that they belong to, which tabs the task changed: after a deletion
    nothing else tells. The task before is forgotten, so that it stays one entry."""
    old = [mark for mark in contents.marks if mark.key == _MANAGED]
    value = orjson.dumps({"task": str(task_id), "tabs": list(titles)}).decode()
    return [
        *({"deleteDeveloperMetadata": {"dataFilter": _by_id(mark)}} for mark in old),
        _created(_MANAGED, value, {"spreadsheet": True}),
    ]


def managed(contents: Contents, task_id: UUID) -> list[str] | None:
    """The titles of the tabs that an earlier attempt of the task changed, None where none did."""
    for mark in contents.marks:
        if mark.key == _MANAGED:
            match _read(mark.value):
                case {"task": str(task), "tabs": list(titles)} if task == str(task_id):
                    return [str(title) for title in titles]
    return None


def _read(value: str) -> Any:
    """What is in a mark; None where others have written to it."""
    try:
        return orjson.loads(value)
    except ValueError:
        return None


def _by_id(mark: Mark) -> dict[str, Any]:
    return {"developerMetadataLookup": {"metadataId": mark.id}}


def _state(tab: Tab) -> list[str]:
    return next((mark.value.split() for mark in tab.marks if mark.key == _RUN), [])


def _created(key: str, value: str, location: dict[str, Any]) -> Request:
    made = {"metadataKey": key, "metadataValue": value, "location": location, "visibility": "DOCUMENT"}
    return {"createDeveloperMetadata": {"developerMetadata": made}}
