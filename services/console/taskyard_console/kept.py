"""Parts of pages that are made once for the same values: a list has hundreds of them, a live page the most of them
again, and a template engine takes longer to write them than the API to read them.

They are the macros of templates/kept.html. A template that is imported without a context sees neither the reader nor
the page, so what a macro made depends on its arguments alone. Nothing is ever out of date, and nothing has to be told
when something changes: other values are other arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from jinja2 import Environment
from markupsafe import Markup

from taskyard_client.models import Progress, Task

from .json_text import one_line

# Of a column: its name, its title, and whether it is of figures.
Column = tuple[str, str, bool]
_RUN_TIME = "run_time"
# Of each macro, in each language: ten full pages of a list. A row has about a kilobyte.
MOST = 2_000
# Of those that show a whole list, which may have hundreds of names.
MOST_LISTS = 50
_LISTS = frozenset({"options", "task_types", "queues"})
# A row that shows all of a text of a task's own is kept where the text is no longer than this.
MOST_OF_TEXT = 1_000
_TEXTS = {"log_line": "text", "crash_row": "message"}
_MOST_CHARACTERS = 120
_MOST_BESIDE_NAME = 3
# A row cuts it at a word before.
_MOST_OF_MESSAGE = 200


class Kept:
    """The macros, for the language and the path of one environment."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def __getattr__(self, name: str) -> Any:
        """Once for each. Raises AttributeError for what is no macro of the template."""
        macro = getattr(self._environment.get_template("kept.html").module, name)
        # By their types, too: what is marked as safe equals the same text that is not, and must be told from it.
        self.__dict__[name] = found = lru_cache(MOST_LISTS if name in _LISTS else MOST, typed=True)(macro)
        return found

    def each(self, name: str, values: Iterable[Any], *more: Any) -> Markup:
        """Of each value, behind each other: calls out of a template take longer than to look a part up."""
        make, text = getattr(self, name), _TEXTS.get(name)
        if text is None:
            return Markup("".join([make(value, *more) for value in values]))  # noqa: S704 - macros escape
        made = [
            (make if len(getattr(value, text) or "") <= MOST_OF_TEXT else make.__wrapped__)(value, *more)
            for value in values
        ]
        return Markup("".join(made))  # noqa: S704 - macros escape

    def task_rows(
        self, rows: Iterable[TaskRow], columns: Sequence[Column], zone: ZoneInfo, has_tick: bool, now: datetime
    ) -> Markup:
        """Of a task that runs, all is kept but how long it has run, which is another at each look."""
        run_time = self.run_time.__wrapped__  # never the same again
        names = [name for name, _, _ in columns]
        at = names.index(_RUN_TIME) if _RUN_TIME in names else len(names)
        before, title, behind = columns[:at], columns[at : at + 1], columns[at + 1 :]
        made = []
        for row in rows:
            if row.state == "running" and row.started_at and title:
                lasted = run_time(now - row.started_at, title[0][1])
                cells = self.task_cells(row, before, zone, has_tick), lasted, self.task_cells(row, behind, zone, False)
                made += ["<tr>", *cells, "</tr>\n"]
            else:
                made.append(self.task_row(row, columns, zone, has_tick))
        return Markup("".join(made))  # noqa: S704 - macros escape


class TaskRow(NamedTuple):
    """What the lists of tasks show of one, as values that can be compared. Its texts are as the API has them: what is
    marked as safe would be taken for the same. `lasted` is None where a task runs: `task_rows` tells how long."""

    id: UUID
    name: str
    state: str
    queue: str
    attempt: int
    max_attempts: int
    created_at: datetime | None
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    discarded_at: datetime | None
    lasted: timedelta | None
    worker: str
    submitted_by: str
    tags: Sequence[str]
    tags_beside_name: Sequence[str]
    code: str | None
    message: str
    progress: Progress | None
    params: str


def row_of(task: Task, columns: Sequence[str] = ()) -> TaskRow:
    error, tags, until = task.error, tuple(task.tags), task.finished_at
    return TaskRow(
        task.id,
        task.name,
        task.state,
        task.queue,
        task.attempt,
        task.max_attempts,
        task.created_at,
        task.run_at,
        task.started_at,
        task.finished_at,
        task.discarded_at,
        until - task.started_at if until and task.started_at else None,
        task.worker or "",
        task.submitted_by or "",
        tags,
        () if "tags" in columns else tags[:_MOST_BESIDE_NAME],
        error.code if error else None,
        error.message[:_MOST_OF_MESSAGE] if error else "",
        task.progress if task.state == "running" else None,
        one_line(task.params, _MOST_CHARACTERS) if "params" in columns else "",
    )
