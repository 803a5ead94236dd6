"""A task on a terminal: a progress bar, and its timeline scrolling by above."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from .client import Client

_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "expired": "red",
    "crashed": "red",
    "retrying": "yellow",
    "cancelled": "yellow",
}


def watch_task(client: Client, task_id: UUID, console: Console | None = None) -> dict[str, Any]:
    """Draws until the task is final; returns it."""
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
        for event in client.follow(task_id):
            if event.kind == "progress":
                _draw(bars, bar, event.data["data"])
                continue
            if event.kind == "started":
                bars.update(bar, state="running", total=None, completed=0)  # a new attempt has come nowhere yet
            console.print(_line(event.kind, event.data))
        task = client.task(task_id)
        done = task["state"] == "succeeded"
        bars.update(bar, state=task["state"])
        if done:
            bars.update(bar, total=1, completed=1)
    if task["result"] is not None:
        console.print_json(data=task["result"])
    if task["error"] is not None:
        console.print(f"[red]{escape(task['error']['message'])}[/] ({escape(task['error']['code'])})")
    return task


def _draw(bars: Progress, bar: Any, data: dict[str, Any]) -> None:
    total = data.get("total")
    if "current" in data:
        bars.update(bar, state="running", total=total, completed=data["current"])
    bars.update(bar, description=escape(str(data.get("message") or "")))


def _line(kind: str, event: dict[str, Any]) -> str:
    data = event.get("data") or {}
    error = data.get("error") or {}
    words = data.get("message") or error.get("message") or data.get("cause") or data.get("worker") or ""
    colour = _COLOURS.get(kind, "cyan")
    return f"[dim]{escape(str(event.get('at', ''))[11:19])}[/] [{colour}]{escape(kind):12}[/] {escape(str(words))}"
