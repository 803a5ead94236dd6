"""`taskyard-scheduler archive`: which archives of tasks there are, and what they hold.

Archives are read line by line: what is shown is as long as it likes, what is in memory is one line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Connection, Engine

from taskyard.commands import (
    AWAY,
    FAILED,
    USAGE,
    AsJson,
    DatabaseUrl,
    LogLevel,
    command_engine,
    fail,
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

from .options import moment, text
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
    if as_json:
        print_json({"items": [_shown(archive) for archive in found]})
        return
    for archive in found:
        _print_archive(archive)
    typer.echo(f"{len(found):,} archive{'' if len(found) == 1 else 's'}.")


@app.command(
    "show",
    epilog="Examples:\n\n  taskyard-scheduler archive show 01936f0e-...\n\n"
    "  taskyard-scheduler archive show --name email.send --ended-after 2026-01-01T00:00:00Z --json > january.jsonl",
)
def show(
    task_id: Annotated[UUID | None, typer.Argument(help="One task, with its attempts and events.")] = None,
    ended_after: After = None,
    ended_before: Before = None,
    name: Annotated[str | None, typer.Option("--name", callback=text, help="Only this task type.")] = None,
    database_url: DatabaseUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an object a line.")] = False,
    log_level: LogLevel = None,
) -> None:
    """Show archived tasks: one by its id, or those that ended in some time. Exit code 1: there is
    none, or an archive cannot be read, which is told.

    A task that was retried after it had been archived may be in two archives; the newest is shown first.
    """
    has_filter = any(value is not None for value in (ended_after, ended_before, name))
    if (task_id is not None) == has_filter:
        fail(PROGRAM, "say which: a task's id, or a time (--ended-after, --ended-before) or a --name.", USAGE)
    settings = settings_or_exit(PROGRAM, database_url=database_url, log_level=log_level)
    shown, unread = 0, list[UUID]()
    with command_engine(PROGRAM, settings) as engine, _storage_or_exit(settings) as storage:
        if task_id is not None:
            lines = _of_task(engine, storage, task_id, unread)
        else:
            lines = _of_time(engine, storage, ended_after, ended_before, name, unread)
        for line in lines:
            shown += 1
            _print(line, as_json=as_json)
    if unread:  # told by then
        raise typer.Exit(FAILED)
    if not shown:
        fail(PROGRAM, "no archive holds such a task.", FAILED)


def _of_task(engine: Engine, storage: Storage, task_id: UUID, unread: list[UUID]) -> Iterator[bytes]:
    wanted = str(task_id)
    for line in _lines(engine, storage, unread, holding=task_id):
        # A line that has the id may only name it: then it is parsed for nothing.
        if wanted.encode() in line:
            values = values_of(line)
            if values.get("id" if kind_of(line) == "task" else "task_id") == wanted:
                yield line


def _of_time(
    engine: Engine,
    storage: Storage,
    after: datetime | None,
    before: datetime | None,
    name: str | None,
    unread: list[UUID],
) -> Iterator[bytes]:
    for line in _lines(engine, storage, unread, after=after, until=before):
        if kind_of(line) != "task":
            continue
        values = values_of(line)
        at = datetime.fromisoformat(values["finished_at"])
        if (after is None or at >= after) and (before is None or at < before) and name in {None, values["name"]}:
            yield line


def _lines(engine: Engine, storage: Storage, unread: list[UUID], **wanted: Any) -> Iterator[bytes]:
    """Of all archives that fit, the newest first. One that cannot be read is told and noted in `unread`; the others are
    read."""
    before: UUID | None = None
    while archives := ledger.run(engine, partial(task_archives.page, limit=100, before=before, **wanted)):
        for archive in archives:
            try:
                yield from _lines_of(engine, storage, archive)
            except (ArchiveDamaged, ObjectMissing) as e:
                unread.append(archive.id)
                said = "its file is gone" if isinstance(e, ObjectMissing) else f"its file is damaged: {e}"
                typer.echo(f"{PROGRAM}: the archive {archive.id}: {visible(said)}", err=True)
        before = archives[-1].id


def _lines_of(engine: Engine, storage: Storage, archive: TaskArchive) -> Iterator[bytes]:
    """Raises ArchiveDamaged, ObjectMissing, StorageUnavailable."""
    assert archive.item_id is not None

    def find(conn: Connection) -> Any:
        return tree_items.get(conn, [archive.item_id]).get(archive.item_id)  # type: ignore[list-item, arg-type]

    item = ledger.run(engine, find)
    if item is None:
        raise ObjectMissing("the item was deleted")
    with storage.open(item.storage_key) as file:
        yield from read_lines(file)


@contextmanager
def _storage_or_exit(settings: Settings) -> Iterator[Storage]:
    """Ends the program with 3 where the storage does not answer, and with 1 where a line is no line of an archive."""
    try:
        yield storage_of(settings)
    except StorageUnavailable as e:
        fail(PROGRAM, f"the archives cannot be read: {e}", AWAY)
    except ArchiveDamaged as e:
        fail(PROGRAM, f"an archive is damaged: {e}", FAILED)


def _shown(archive: TaskArchive) -> dict[str, Any]:
    shown = ("id", "item_id", "task_id", "created_at", "cleared_at", "tasks", "deleted")
    return {name: getattr(archive, name) for name in (*shown, "first_finished_at", "last_finished_at")}


def _print_archive(archive: TaskArchive) -> None:
    first, last = archive.first_finished_at, archive.last_finished_at
    open_ = "" if archive.cleared_at else "  (its tasks are being deleted)"
    stayed = (
        f"  {archive.tasks - archive.deleted:,} stayed"
        if archive.cleared_at and archive.tasks > archive.deleted
        else ""
    )
    typer.echo(
        f"{archive.item_id}  {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}  {archive.tasks:>9,} tasks{stayed}{open_}"
    )


def _print(line: bytes, *, as_json: bool) -> None:
    if as_json:
        typer.echo(visible(line.decode().rstrip("\n")))
        return
    values = values_of(line)
    match kind_of(line):
        case "task":
            error = (values.get("error") or {}).get("code", "")
            parts = (values["id"], values["finished_at"][:19], *(values[part] for part in ("state", "queue", "name")))
            said = "  ".join([*parts, error])
        case "attempt":
            said = f"  {values['finished_at'][:19]}  attempt {values['attempt']} {values['outcome']}"
        case kind:
            at = str(values.get("at") or "")[:19]
            said = f"  {at}  {values.get('kind', kind)}  {_message(values)}"
    typer.echo(visible(" ".join(said.splitlines())).rstrip())


def _message(values: dict[str, Any]) -> str:
    data = values.get("data")
    return str(data.get("message", ""))[:200] if isinstance(data, dict) else ""
