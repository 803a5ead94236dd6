"""The tabs of earlier runs: told, put into the archive, deleted. Others are never touched."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from taskyard import InputUnusable, TaskContext, TaskError
from taskyard_kits.selection.declarations import TabAction

from . import marks, names
from .spreadsheets import Contents, Request, Spreadsheet, Tab

# People may change the tabs at the same time.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of `tabs`. `archived`: the titles in the archive afterwards."""

    tabs: list[Tab]
    archived: list[str]
    requests: list[Request] = field(default_factory=list)

    @property
    def titles(self) -> list[str]:
        return [tab.title for tab in self.tabs]


@dataclass(frozen=True, slots=True)
class Done:
    """Titles: of the tabs that this was about, and of those in the archive afterwards; how many were changed."""

    tabs: list[str]
    archived: list[str]
    changed: int = 0


def manage(context: TaskContext, spreadsheet: Spreadsheet, action: TabAction, *, dry_run: bool) -> Done:
    """All of it or nothing, once in all attempts. Raises TaskError, `gsheet_last_tab` where no visible tab would be
    left."""
    for tries in range(1, _TRIES + 1):
        contents = spreadsheet.contents()
        if (changed := marks.managed(contents, context.task_id)) is not None:
            return Done(changed, _archive_of(contents), len(changed))
        plan = planned(action, contents)
        if dry_run or not plan.requests:
            return Done(plan.titles, _archive_of(contents))
        _check_visible(contents, plan.tabs)
        try:
            spreadsheet.change(*plan.requests, *marks.manage(contents, context.task_id, plan.titles))
        except InputUnusable:
            if tries == _TRIES or spreadsheet.contents() == contents:
                raise
        else:
            return Done(plan.titles, plan.archived, len(plan.tabs))
    raise AssertionError("the last try returns or raises")


def planned(action: TabAction, contents: Contents) -> Plan:
    old = [tab for tab in contents.tabs if names.is_output(tab.title)]
    if action == "archive":
        return _archived(contents, old)
    # Half-written ones of runs that died go with the others.
    now = time.time()
    old = [tab for tab in contents.tabs if tab in old or marks.is_abandoned(tab, now)]
    deleted: list[Request] = [{"deleteSheet": {"sheetId": tab.id}} for tab in old]
    return Plan(old, _archive_of(contents), deleted if action == "delete" else [])


def _archived(contents: Contents, old: list[Tab]) -> Plan:
    titles = [tab.title for tab in contents.tabs]
    kept, requests = _archive_of(contents), list[Request]()
    for tab in old:
        title = names.archived(tab.title, titles)
        titles.append(title)
        kept.append(title)
        properties = {"sheetId": tab.id, "title": title, "hidden": True}
        requests.append({"updateSheetProperties": {"properties": properties, "fields": "title,hidden"}})
    return Plan(old, kept, requests)


def _archive_of(contents: Contents) -> list[str]:
    return [tab.title for tab in contents.tabs if names.is_archived(tab.title)]


def _check_visible(contents: Contents, old: list[Tab]) -> None:
    """Google keeps one visible tab in every spreadsheet."""
    if all(tab.is_hidden or tab in old for tab in contents.tabs):
        raise TaskError("gsheet_last_tab", retryable=False)
