"""A task on a terminal: a progress bar, and its timeline scrolling above it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.markup import escape as escape_markup
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from taskyard_client import Client, Task, TaskEvent

from .output import visible

_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "expired": "red",
    "crashed": "red",
    "suspected": "red",
    "cancel_requested": "yellow",
    "cancel_forced": "yellow",
    "soft_time_limit": "yellow",
    "retrying": "yellow",
    "cancelled": "yellow",
}


def watch_task(client: Client, task_id: UUID, console: Console | None = None) -> Task:
    """Shows the task until it is final; returns it."""
    console = console or Console()
    columns = (
        TextColumn("[bold]{task.fields[state]:9}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as bars:
        bar = bars.add_task("", total=None, state="waiting")
        for event in client.events(task_id):
            if event.kind == "progress":
                _draw(bars, bar, event.data)
                continue
            if event.kind == "started":
                bars.update(bar, state="running", total=None, completed=0)  # a new attempt has no progress yet
            console.print(_line(event))
        task = client.task(task_id)
        done = task.state == "succeeded"
        bars.update(bar, state=task.state)
        if done:
            bars.update(bar, total=1, completed=1)
    if task.result is not None:
        shown = visible(json.dumps(task.result, ensure_ascii=False, indent=2))
        console.print(JSONHighlighter()(shown), soft_wrap=True)
    if task.error is not None:
        console.print(f"[red]{escape(task.error.message)}[/] ({escape(task.error.code)})")
    return task


def escape(text: str) -> str:
    """What others wrote: neither markup nor commands for the terminal."""
    return escape_markup(visible(text))


def _draw(bars: Progress, bar: Any, data: dict[str, Any]) -> None:
    total = data.get("total")
    if "current" in data:
        bars.update(bar, state="running", total=total, completed=data["current"])
    bars.update(bar, description=escape(str(data.get("message") or "")))


# For steps without a message.
_WORDS = {
    "cancel_delivered": "the task was told to stop",
    "cancel_acknowledged": "the task has come to an end",
    "cancel_forced": "its process was to be ended",
    "soft_time_limit": "the task was told that its time is over",
    "claim_asserted": "PostgreSQL had forgotten that it runs",
}


def _line(event: TaskEvent) -> str:
    said = words(event.kind, event.attempt or 0, event.data)
    colour = _COLOURS.get(event.kind, "cyan")
    time = "" if event.at is None else f"{event.at:%H:%M:%S}"
    return f"[dim]{time}[/] [{colour}]{escape(event.kind.replace('_', ' ')):19}[/] {escape(said)}"


def words(kind: str, attempt: int, data: dict[str, Any]) -> str:
    """What an entry of a timeline says, for people."""
    error = data.get("error") or {}
    if kind == "started":
        return f"attempt {attempt} on {data.get('worker') or 'a worker'}"
    if kind == "submitted":
        return f"{data.get('name', '')}, queue {data.get('queue', '')}" + _by(data.get("submitted_by"))
    said = data.get("message") or error.get("message") or data.get("cause") or data.get("reason") or _WORDS.get(kind)
    words = str(said or data.get("worker") or "") + _by(data.get("by"))
    if peak := data.get("peak_memory_bytes"):
        words += f" Its memory reached {peak / 1024**2:.0f} MiB."
    if again := data.get("retry_at") or data.get("until"):
        words += f" Again at {str(again)[11:19]}."
    if parent := data.get("follows"):
        words += f", with the task {parent} that submitted it"
    return words.strip()


def _by(who: str | None) -> str:
    return f" by {who}" if who else ""
