"""`taskyard-scheduler archive`: which archives of tasks there are, and what they hold.

Archives are read line by line: what is shown is as long as it likes, what is in memory is one line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Engine

from taskyard.commands import (
    AWAY,
    FAILED,
    USAGE,
    AsJson,
    DatabaseUrl,
    LogLevel,
    command_engine,
    fail,
    moment,
    print_json,
    settings_or_exit,
    typer_app,
)
from taskyard.output import visible
from taskyard.settings import Settings
from taskyard.storage.archive_lines import ArchiveDamaged, kind_of, read_lines, values_of
from taskyard.storage.chosen import storage_of
from taskyard.storage.interface import ObjectMissing, Storage, StorageUnavailable
from taskyard.store import ledger, task_archives, tree_items
from taskyard.store.task_archives import TaskArchive
from taskyard.store.tree_items import TreeItem

from .options import text
from .program import PROGRAM

app = typer_app("archive", "Tasks past their retention, in files: list the archives, show what they hold.")

After = Annotated[
    datetime | None,
    typer.Option("--ended-after", parser=moment, metavar="TIME", help="Tasks that ended then or later."),
]
Before = Annotated[
    datetime | None, typer.Option("--ended-before", parser=moment, metavar="TIME", help="Tasks that ended earlier.")
]


@app.command(
    "list",
    epilog="Examples:\n\n  taskyard-scheduler archive list\n\n"
    "  taskyard-scheduler archive list --ended-after 2026-01-01T00:00:00Z --json",
)
def list_(
    ended_after: After = None,
    ended_before: Before = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Show so many, the newest.")] = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """List the archives, the newest first: when their tasks ended, and how many they hold."""
    settings = settings_or_exit(PROGRAM, database_url=database_url, log_level=log_level)
    with command_engine(PROGRAM, settings) as engine:
        page = partial(task_archives.page, limit=limit, after=ended_after, until=ended_before)
        found = ledger.run(engine, page)
        kept = _items(engine, found)
    if as_json:
        print_json({"items": [_shown(archive, kept) for archive in found]})
        return
    for archive in found:
        _print_archive(archive, kept)
    typer.echo(f"{len(found):,} archive{'' if len(found) == 1 else 's'}.")


@app.command(
    "show",
    epilog="Examples:\n\n  taskyard-scheduler archive show 01936f0e-...\n\n"
    "  taskyard-scheduler archive show --name email.send --ended-after 2026-01-01T00:00:00Z --json > january.jsonl",
)
def show(
    shown_id: Annotated[
        UUID | None,
        typer.Argument(
            metavar="[ID]",
            help="A task, with its attempts and events; or an archive, or its item: the tasks in it.",
        ),
    ] = None,
    ended_after: After = None,
    ended_before: Before = None,
    name: Annotated[str | None, typer.Option("--name", callback=text, help="Only this task type.")] = None,
    database_url: DatabaseUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an object a line.")] = False,
    log_level: LogLevel = None,
) -> None:
    """Show archived tasks: one by its id, those of an archive, or those that ended in some time. Exit code 1: there is
    none, or, where more than one task was asked for, an archive cannot be read, which is told.

    A task that was retried after it had been archived may be in two archives; the newest is shown first.
    """
    has_filter = any(value is not None for value in (ended_after, ended_before, name))
    if (shown_id is not None) == has_filter:
        fail(PROGRAM, "say which: an id, or a time (--ended-after, --ended-before) or a --name.", USAGE)
    settings = settings_or_exit(PROGRAM, database_url=database_url, log_level=log_level)
    shown = 0
    with command_engine(PROGRAM, settings) as engine, _storage_or_exit(settings) as storage:
        reading, task_id = _Reading(engine, storage), None
        if shown_id is None:
            lines = reading.lines(_ended(ended_after, ended_before, name), after=ended_after, until=ended_before)
        elif ledger.run(engine, partial(task_archives.page, limit=1, known_as=shown_id)):
            lines = reading.lines(_ended(None, None, None), known_as=shown_id)
        else:
            task_id = shown_id
            lines = reading.lines(partial(_is_of, str(task_id)), holding=task_id)
        for line in lines:
            shown += 1
            _print(line, as_json=as_json, at_length=task_id is not None)
    # What cannot be read is told by then.
    if reading.unread and (task_id is None or not shown):
        raise typer.Exit(FAILED)
    if not shown:
        fail(PROGRAM, "no archive holds such a task.", FAILED)


def _is_of(task_id: str, line: bytes) -> bool:
    # A line that has the id may only name it: then it is parsed for nothing.
    return task_id.encode() in line and values_of(line).get("id" if kind_of(line) == "task" else "task_id") == task_id


def _ended(after: datetime | None, before: datetime | None, name: str | None) -> Callable[[bytes], bool]:
    """Whether a line is that of a task of the type, which ended in that time. Raises ArchiveDamaged."""

    def fits(line: bytes) -> bool:
        if kind_of(line) != "task":
            return False
        values = values_of(line)
        try:
            at, its_name = datetime.fromisoformat(values["finished_at"]), values["name"]
            return (after is None or at >= after) and (before is None or at < before) and name in {None, its_name}
        except (KeyError, TypeError, ValueError) as e:
            raise ArchiveDamaged("a task lacks its name, or the time of its end") from e

    return fits


class _Reading:
    """Reads archives, the newest first. One that cannot be read is told and is in `unread`; what else can be read is.
    One whose item was deleted, as archives that are too old are, is told alone."""

    def __init__(self, engine: Engine, storage: Storage) -> None:
        self._engine = engine
        self._storage = storage
        self.unread: set[UUID] = set()

    def lines(self, fits: Callable[[bytes], bool], **wanted: Any) -> Iterator[bytes]:
        """Those lines of the archives that fit."""
        before: UUID | None = None
        while archives := ledger.run(self._engine, partial(task_archives.page, limit=100, before=before, **wanted)):
            items = _items(self._engine, archives)
            for archive in archives:
                item = items.get(archive.id)
                if item is None:
                    _tell(archive, "it was deleted")
                else:
                    yield from self._lines_of(archive, item, fits)
            before = archives[-1].id

    def _lines_of(self, archive: TaskArchive, item: TreeItem, fits: Callable[[bytes], bool]) -> Iterator[bytes]:
        try:
            with self._storage.open(item.storage_key) as file:
                for line in read_lines(file):
                    try:
                        if fits(line):
                            yield line
                    except ArchiveDamaged as e:
                        self._note(archive, f"its file is damaged: {e}")
        except ArchiveDamaged as e:
            self._note(archive, f"its file is damaged: {e}")
        except ObjectMissing:
            self._note(archive, "its file is gone")

    def _note(self, archive: TaskArchive, said: str) -> None:
        if archive.id not in self.unread:
            _tell(archive, said)
        self.unread.add(archive.id)


def _tell(archive: TaskArchive, said: str) -> None:
    typer.echo(f"{PROGRAM}: the archive {archive.id}: {visible(said)}", err=True)


def _items(engine: Engine, archives: Sequence[TaskArchive]) -> dict[UUID, TreeItem]:
    """By the ids of the archives: the items that are still there."""
    ids = {archive.item_id: archive.id for archive in archives if archive.item_id is not None}
    found: dict[UUID, TreeItem] = ledger.run(engine, partial(tree_items.get, ids=list(ids)))
    return {ids[item_id]: item for item_id, item in found.items()}


@contextmanager
def _storage_or_exit(settings: Settings) -> Iterator[Storage]:
    """Ends the program with 3 where the storage does not answer."""
    try:
        yield storage_of(settings)
    except StorageUnavailable as e:
        fail(PROGRAM, f"the archives cannot be read: {e}", AWAY)


def _shown(archive: TaskArchive, kept: Container[UUID]) -> dict[str, Any]:
    shown = ("id", "item_id", "task_id", "created_at", "cleared_at", "tasks", "deleted")
    values = {name: getattr(archive, name) for name in (*shown, "first_finished_at", "last_finished_at")}
    return {**values, "item_deleted": archive.id not in kept}


def _print_archive(archive: TaskArchive, kept: Container[UUID]) -> None:
    first, last = archive.first_finished_at, archive.last_finished_at
    told = []
    if archive.cleared_at is None:
        told.append("  (its tasks are being deleted)")
    elif archive.tasks > archive.deleted:
        told.append(f"  {archive.tasks - archive.deleted:,} stayed")
    if archive.id not in kept:
        told.append("  (deleted)")
    typer.echo(
        f"{archive.item_id}  {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}  {archive.tasks:>9,} tasks{''.join(told)}"
    )


def _print(line: bytes, *, as_json: bool, at_length: bool) -> None:
    """`at_length`: with parameters, result, errors and stack traces."""
    if as_json:
        typer.echo(visible(line.decode("utf-8", "replace").rstrip("\n")))
        return
    values = values_of(line)
    error = values.get("error")
    match kind_of(line):
        case "task":
            known = (values.get(part) for part in ("id", "finished_at", "state", "queue", "name"))
            code = error.get("code") if isinstance(error, dict) else None
            parts = [str(value or "?") for value in (*known, code or " ")]
            said = "  ".join([parts[0], parts[1][:19], *parts[2:]])
            more = [(part, values.get(part)) for part in ("params", "result", "error")]
        case "attempt":
            at = str(values.get("finished_at") or "")[:19]
            said = f"  {at}  attempt {values.get('attempt')} {values.get('outcome')}"
            more = [("error", error), ("traceback", values.get("traceback"))]
        case kind:
            said = f"  {str(values.get('at') or '')[:19]}  {values.get('kind', kind)}  {_message(values)}"
            more = []
    typer.echo(visible(" ".join(said.splitlines())).rstrip())
    for name, value in more if at_length else []:
        _print_value(name, value)


def _print_value(name: str, value: Any) -> None:
    """On lines of its own, indented."""
    if value is not None:
        written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        first, *others = written.splitlines() or [""]
        typer.echo(visible(f"    {name}: {first}"))
        for line in others:
            typer.echo(visible(f"    {line}"))


def _message(values: dict[str, Any]) -> str:
    data = values.get("data")
    return str(data.get("message", ""))[:200] if isinstance(data, dict) else ""
