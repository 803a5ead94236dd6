"""Developer metadata: what tabs and spreadsheets remember of tasks, and people don't see.

https://developers.google.com/workspace/sheets/api/guides/metadata
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from .spreadsheets import Contents, Request, Tab

_RUN = "taskyard.run"
_MANAGED = "taskyard.managed"
_UNFINISHED, _COMPLETE = "unfinished", "complete"
# The life of a task (TASK_TIMEOUT_HOURS): later no attempt goes on with what it began.
_LIFE_SECONDS = 86_400


def unfinished(tab: Tab, task_id: UUID) -> Request:
    """Marks a new tab that the task writes."""
    return _created(_RUN, f"{_UNFINISHED} {task_id} {int(time.time())}", {"sheetId": tab.id})


def complete(tab: Tab, task_id: UUID) -> Request:
    """Changes the mark of a tab, as it was read, to that of one that is written."""
    (mark,) = (mark for mark in tab.marks if mark.key == _RUN)
    return {
        "updateDeveloperMetadata": {
            "dataFilters": [{"developerMetadataLookup": {"metadataId": mark.id}}],
            "developerMetadata": {"metadataValue": f"{_COMPLETE} {task_id}"},
            "fields": "metadataValue",
        }
    }


def is_unfinished(tab: Tab, task_id: UUID) -> bool:
    return _state(tab)[:2] == [_UNFINISHED, str(task_id)]


def is_complete(tab: Tab, task_id: UUID) -> bool:
    return _state(tab) == [_COMPLETE, str(task_id)]


def is_abandoned(tab: Tab, now: float) -> bool:
    """Whether a task began it whose life is over."""
    match _state(tab):
        case ["unfinished", _, begun] if begun.isdecimal():
            return now - int(begun) > _LIFE_SECONDS
    return False


def manage(contents: Contents, task_id: UUID, titles: Sequence[str]) -> list[Request]:
    """Has the spreadsheet remember, with the change that they belong to, which tabs the task changed: after a deletion
    nothing else tells. The task before is forgotten, so that it stays one entry."""
    old = [mark.id for mark in contents.marks if mark.key == _MANAGED]
    value = orjson.dumps({"task": str(task_id), "tabs": list(titles)}).decode()
    return [
        *({"deleteDeveloperMetadata": {"dataFilter": {"developerMetadataLookup": {"metadataId": id}}}} for id in old),
        _created(_MANAGED, value, {"spreadsheet": True}),
    ]


def managed(contents: Contents, task_id: UUID) -> list[str] | None:
    """The titles of the tabs that an earlier attempt of the task changed, None where none did."""
    for mark in contents.marks:
        if mark.key == _MANAGED:
            found = orjson.loads(mark.value)
            if found["task"] == str(task_id):
                return [str(title) for title in found["tabs"]]
    return None


def _state(tab: Tab) -> list[str]:
    return next((mark.value.split() for mark in tab.marks if mark.key == _RUN), [])


def _created(key: str, value: str, location: dict[str, Any]) -> Request:
    made = {"metadataKey": key, "metadataValue": value, "location": location, "visibility": "DOCUMENT"}
    return {"createDeveloperMetadata": {"developerMetadata": made}}
