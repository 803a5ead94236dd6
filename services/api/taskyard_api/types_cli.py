"""`taskyard-api types`: the registry of task types: list, show, forget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy import Connection

from taskyard.catalogue.spec import SpecRefused, TaskSpec
from taskyard.catalogue.stored import spec_in
from taskyard.catalogue.types import MAX_VERSION
from taskyard.commands import FAILED, USAGE, AsJson, DatabaseUrl, LogLevel, command_engine, print_json, typer_app
from taskyard.settings import Settings
from taskyard.store import ledger, task_types
from taskyard.store.audit import actor_here
from taskyard.store.task_types import Forgetting

from . import program

app = typer_app("types", "The task types that workers have registered.")

T = TypeVar("T")

Name = Annotated[str, typer.Argument(help="The task type.")]
Version = Annotated[int | None, typer.Option("--version", help="Only this version.")]


def _in_ledger(settings: Settings, verb: Callable[[Connection], T]) -> T:
    """`verb` in a transaction of its own."""
    with command_engine(program.NAME, settings) as engine:
        return ledger.run_transaction(engine, verb)


@app.command("list", epilog="Examples:\n\n  taskyard-api types list\n\n  taskyard-api types list --json")
def list_(database_url: DatabaseUrl = None, as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """List all versions of all task types, and how many live workers run each."""
    settings = program.begin(database_url=database_url, log_level=log_level)
    rows = _in_ledger(settings, lambda conn: task_types.listed(conn, lease=settings.worker_lease, specs=True))
    if as_json:
        print_json([_shown(row) for row in rows])
        return
    for shown in map(_shown, rows):
        columns = f"{shown['name'][:128]:36} {shown['version']:4}  {shown['queue']:16} {shown['kit'] or '-':12}"
        typer.echo(f"{columns} {_in_words(shown)}")


@app.command(
    epilog="Examples:\n\n  taskyard-api types show email.send\n\n"
    "  taskyard-api types show email.send --version 2 --json"
)
def show(
    name: Name,
    version: Version = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Show a task type: its spec, the live workers that run it, and how many of its tasks have not ended."""
    settings = program.begin(database_url=database_url, log_level=log_level)

    def read(conn: Connection) -> list[dict[str, Any]]:
        rows = task_types.listed(conn, lease=settings.worker_lease, name=name, specs=True)
        return [
            {**_shown(row, full=True), "waiting_tasks": task_types.waiting_tasks(conn, name, row["version"])}
            for row in rows
            if version in {None, row["version"]}
        ]

    found = _in_ledger(settings, read)
    if not found:
        program.fail(_unknown(name, version), FAILED)
    if as_json:
        print_json(found)
        return
    for one in found:
        _print_one(one)


def _print_one(one: dict[str, Any]) -> None:
    typer.echo(f"{one['name']}, version {one['version']}: {_in_words(one)}")
    for worker in one["workers"]:
        typer.echo(f"  {worker['worker']} since {worker['since']}, queues {','.join(worker['queues'])}")
    spec = one["spec"]
    of_spec = {} if spec is None else {
        "parameters": ", ".join(spec["params"].get("properties", {})) or "none",
        "max attempts": spec["retry"]["max_attempts"],
        "never again": ", ".join(_final(spec["retry"])),
    }  # fmt: skip
    values = {
        **{name: one[name] for name in ("queue", "kit", "description")},
        **of_spec,
        "waiting tasks": _count(one["waiting_tasks"]),
        "registered at": one["registered_at"],
        "changed at": one["changed_at"],
        "last seen at": one["seen_at"],
        "retired at": one["retired_at"],
    }
    for label, value in values.items():
        if value not in {None, ""}:
            typer.echo(f"  {label:14} {value}")


def _final(retry: dict[str, Any]) -> list[str]:
    """The errors, by class or code, after which there is no further attempt."""
    rules = [rule for rule in retry.get("rules", ()) if not rule["retried"]]
    return [*retry.get("give_up_on", ()), *(name for rule in rules for name in (*rule["errors"], *rule["codes"]))]


@app.command(
    epilog="Examples:\n\n  taskyard-api types forget old.report\n\n"
    "  taskyard-api types forget old.report --version 1 --yes"
)
def forget(
    name: Name,
    version: Version = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be done.")] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Forget a task type that no live worker has. Its tasks stay, and wait for a worker that registers it again.
    A type with a parameter that names a person stays while the ledger has tasks of it.

    Without --yes, nothing is changed.
    """
    if version is not None and not 1 <= version <= MAX_VERSION:
        program.fail(f"--version must be from 1 to {MAX_VERSION}.", USAGE)
    settings = program.begin(database_url=database_url, log_level=log_level)
    found = _in_ledger(
        settings,
        lambda conn: task_types.forget(conn, name, version, actor_here(), lease=settings.worker_lease, dry_run=not yes),
    )
    if not found.versions:
        program.fail(_unknown(name, version), FAILED)
    if found.workers:
        program.fail(f"{name} stays: these workers are alive and have it: {', '.join(found.workers)}.", FAILED)
    if found.names_persons:
        told = "tasks of it are in the ledger, and an erasure finds a person's tasks by its type"
        program.fail(f"{name} stays: {told}. Forget it when the retention has removed them.", FAILED)
    if as_json:
        versions = {"name": name, "versions": list(found.versions), "waiting_tasks": found.waiting}
        print_json({**versions, "forgotten": yes})
    else:
        typer.echo(_forgotten(name, found, done=yes))


def _forgotten(name: str, found: Forgetting, *, done: bool) -> str:
    versions = ", ".join(map(str, found.versions))
    what = f"{name}, version{'s' if len(found.versions) > 1 else ''} {versions}"
    tasks = f"{_count(found.waiting)} of its tasks {'stay' if done else 'would stay'} and wait for it"
    return f"Forgot {what}; {tasks}." if done else f"Would forget {what}; {tasks}. Do it with --yes."


def _unknown(name: str, version: int | None) -> str:
    of = "" if version is None else f", version {version}"
    return f"There is no task type {name[:100]!r}{of}; `taskyard-api types list` shows all of them."


def _count(tasks: int) -> str:
    return f"{tasks} or more" if tasks >= task_types.COUNTED else str(tasks)


def _shown(row: dict[str, Any], *, full: bool = False) -> dict[str, Any]:
    """`full`: with its spec."""
    names = ("name", "version", "digest", "kit", "registered_at", "changed_at", "seen_at", "retired_at", "workers")
    told = {name: row[name] for name in names}
    state = "live" if row["workers"] else "retired" if row["retired_at"] is not None else "no_live_worker"
    spec: TaskSpec | None = None
    try:
        spec = spec_in(row["name"], row["version"], row["spec"])
        told |= {"queue": spec.queue, "description": spec.description, "state": state, "refused": None}
    except SpecRefused as e:
        told |= {"queue": "", "description": "", "state": "refused", "refused": e.reason}
    if full:
        told["spec"] = None if spec is None else spec.as_json()
    return told


def _in_words(shown: dict[str, Any]) -> str:
    workers = len(shown["workers"])
    if shown["refused"] is not None:
        return f"refused: {shown['refused']}"
    if workers:
        return f"{workers} live worker{'s' if workers > 1 else ''}"
    if shown["retired_at"] is not None:
        return f"retired since {shown['retired_at']:%Y-%m-%d}"
    return f"no live worker since {shown['seen_at']:%Y-%m-%d}"
