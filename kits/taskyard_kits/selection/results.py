"""What a draw leaves: two lists as CSV, and the result with the whole report as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from taskyard import TaskContext
from taskyard.storage.interface import Writer
from taskyard.store.tree_items import TreeItem
from taskyard_kits.kept_files import MadeFile
from taskyard_kits.stored_files import opened

from .declarations import RunSelectResult
from .draws import Draw
from .tables import Table

SELECTED, REMAINING, REPORT = "selection_selected", "selection_remaining", "selection_report"
# A result has 256 KiB, of which 200 targets may take most.
_MAX_REPORT_LINES = 100
_MAX_REPORT_LINE = 300
_ROWS_AT_ONCE = 1_000


def files_of(draw: Draw, people: Table, record: dict[str, Any]) -> list[MadeFile]:
    return [
        _list_of("selected.csv", SELECTED, people, draw.columns, draw.selected),
        _list_of("remaining.csv", REMAINING, people, draw.columns, draw.remaining),
        report_of(draw, record),
    ]


def report_of(draw: Draw, record: dict[str, Any]) -> MadeFile:
    content = json.dumps({"result": record, "report": draw.whole_report}, ensure_ascii=False).encode()
    return MadeFile(
        name="selection-report.json",
        object_type=REPORT,
        content_type="application/json",
        write=lambda writer: writer.write(content),
    )


def record_of(draw: Draw, seed: int) -> dict[str, Any]:
    """The result without the ids of its files: another attempt, which finds these files, reads it."""
    return {
        "selected_count": len(draw.selected),
        "remaining_count": len(draw.remaining),
        "random_seed": seed,
        "selection_algorithm": draw.algorithm,
        "quotas": [quota.model_dump() for quota in draw.quotas],
        "report": [line[:_MAX_REPORT_LINE] for line in draw.report[:_MAX_REPORT_LINES]],
    }


def result_of(items: Sequence[TreeItem], record: dict[str, Any]) -> RunSelectResult:
    by_type = {item.object_type: item.id for item in items}
    return RunSelectResult(
        selected_item_id=by_type.get(SELECTED),
        remaining_item_id=by_type.get(REMAINING),
        report_item_id=by_type[REPORT],
        **record,
    )


def lists_of(items: Sequence[TreeItem]) -> tuple[TreeItem, TreeItem]:
    """Those of the selected and of the remaining people."""
    by_type = {item.object_type: item for item in items}
    return by_type[SELECTED], by_type[REMAINING]


def result_of_kept(context: TaskContext, items: Sequence[TreeItem]) -> RunSelectResult:
    """The result of an earlier attempt of this task, from what it stored."""
    report = next(item for item in items if item.object_type == REPORT)
    with opened(context, report) as file:
        return result_of(items, json.load(file)["result"])


def _list_of(name: str, object_type: str, people: Table, columns: list[int], rows: list[int]) -> MadeFile:
    return MadeFile(
        name=name,
        object_type=object_type,
        content_type="text/csv",
        write=partial(_write, people=people, columns=columns, rows=rows),
    )


def _write(writer: Writer, people: Table, columns: list[int], rows: list[int]) -> None:
    for piece in _pieces(people, columns, rows):
        writer.write(piece)


def _pieces(people: Table, columns: list[int], rows: list[int]) -> Iterator[bytes]:
    """Cells as they came in. One that begins with `=` is a formula to a spreadsheet program, and data here."""
    chosen = [people.header, *(people.rows[row] for row in rows)]
    for first in range(0, len(chosen), _ROWS_AT_ONCE):
        text = io.StringIO(newline="")
        csv.writer(text).writerows([row[c] for c in columns] for row in chosen[first : first + _ROWS_AT_ONCE])
        yield text.getvalue().encode()
