"""Developer metadata: what tabs and spreadsheets remember of tasks, and people don't see.

https://developers.google.com/workspace/sheets/api/guides/metadata
"""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from .spreadsheets import Request, Tab

_RUN = "taskyard.run"
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


def _state(tab: Tab) -> list[str]:
    return next((mark.value.split() for mark in tab.marks if mark.key == _RUN), [])


def _created(key: str, value: str, location: dict[str, Any]) -> Request:
    made = {"metadataKey": key, "metadataValue": value, "location": location, "visibility": "DOCUMENT"}
    return {"createDeveloperMetadata": {"developerMetadata": made}}
