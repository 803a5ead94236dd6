"""What a page does, as commands to copy."""

from __future__ import annotations

import json
import shlex
from typing import NamedTuple

from taskyard_client.models import Task

from .json_text import json_text
from .masked import replaced
from .undoing import CHANGE_TASKS


class Command(NamedTuple):
    """`body`: of the HTTP call; `taskyard`: empty where the command line has no such command."""

    title: str
    method: str
    path: str
    body: str | None = None
    taskyard: str = ""


def commands_of(task: Task, actions: set[str], gettext: object) -> list[Command]:
    """For reading the task, and for each of the `actions` that its page offers."""
    _ = gettext
    assert callable(_)
    at, ids = f"/tasks/{task.id}", json.dumps({"ids": [str(task.id)]})
    found = [
        Command(_("Read"), "GET", at, None, f"taskyard tasks status {task.id}"),
        Command(_("Why it is where it is"), "GET", f"{at}/explain", None, f"taskyard tasks explain {task.id}"),
    ]
    if "cancel" in actions:
        found.append(Command(_("Cancel"), "POST", f"{at}/cancel", None, f"taskyard tasks cancel {task.id}"))
    if "retry" in actions:
        found.append(Command(_("Retry"), "POST", f"{at}/retry", None, f"taskyard tasks retry {task.id}"))
    if "discard" in actions:
        line = f"taskyard tasks discard {task.id}"
        found.append(Command(_("Discard"), "POST", "/dead-letters/discard", ids, line))
    if "restore" in actions:
        line = f"taskyard tasks restore {task.id}"
        found.append(Command(_("Restore"), "POST", "/dead-letters/restore", ids, line))
    if "change" in actions:
        # For the reader to fill in: with the queue that it has, nothing would change.
        queue = json.dumps({"queue": "OTHER_QUEUE"})
        found.append(Command(_("Change"), "PATCH", at, queue, f"taskyard tasks change {task.id} --queue OTHER_QUEUE"))
    if "again" in actions and task.name != CHANGE_TASKS:
        found.append(Command(_("Submit again"), "POST", "/tasks", *_again(task)))
    return found


def _again(task: Task) -> tuple[str, str]:
    """The body, and the command. What to write in the place of a secret, nobody is shown."""
    params = replaced(task.params, "<secret>")
    given = {"tags": task.tags, "limits": task.limits, "callback_url": task.callback_url}
    body = {"name": task.name, "params": params, "queue": task.queue} | {k: v for k, v in given.items() if v}
    words = ["taskyard", "tasks", "submit", task.name, json_text(params), "--queue", task.queue]
    words += [word for tag in task.tags for word in ("--tag", tag)]
    return json_text(body), shlex.join(words)
