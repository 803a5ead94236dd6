"""What must be true at the end: of the ledger, of what can be read, of the logs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from tests.support.fleet import FINAL

from .corpus.tasks import SPEAK
from .described import Described
from .stand import QUEUES, Notes, Stand
from .tasks import SPOKEN

_SETTLES_WITHIN = 90.0
_CANCELLED_WITHIN = 30.0
_FOLLOWED = 30
# Ends of a process, and what cannot be read any more.
_NEVER = {"crash", "crash_limit", "crash_suspect", "hard_time_limit", "task_unreadable"}
_TASKS = "SELECT id, state, error FROM task"
_DUE = f"state IN ('queued', 'running') AND queue IN {QUEUES}"
# Among them those that a crash beside them sent back.
_SOON = f"({_DUE} OR state = 'retrying' AND due_at < now() + interval '30 s' AND queue IN {QUEUES})"
# How they begin where they are no field of an event.
_TRACEBACKS = ("Traceback (most recent call last)", "Exception ignored", "Exception in thread")


def settle(stand: Stand) -> None:
    """Waits for what runs or is due; cancels what is not due for long or waits for a worker that is not there."""
    _wait(lambda: not _unfinished(stand, _SOON), _SETTLES_WITHIN)
    for row in _unfinished(stand, _DUE):
        stand.notes.wrong("every accepted task reaches a final state", f"{row.name} {row.id} is {row.state}")
    for row in _unfinished(stand):
        stand.fleet.http.post(f"/tasks/{row.id}/cancel")
    _wait(lambda: not _unfinished(stand), _CANCELLED_WITHIN)
    for row in _unfinished(stand):
        stand.notes.wrong("what is cancelled reaches a final state", f"{row.name} {row.id} is {row.state}")


def _unfinished(stand: Stand, condition: str = "true") -> list[Any]:
    query = f"SELECT id, name, state FROM task WHERE state <> ALL(:final) AND {condition} LIMIT 1000"
    return list(stand.fleet.query(query, final=sorted(FINAL)))


def _wait(is_done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_done() and time.monotonic() < deadline:
        time.sleep(0.5)


def judge_ends(notes: Notes, rows: Mapping[str, tuple[str, dict[str, Any] | None]]) -> None:
    """`rows`: state and error by id."""
    for task_id, one in notes.expected.items():
        what = f"{one.name} ({one.promise})"
        if task_id not in rows:
            notes.wrong(what, f"{task_id} was accepted and is not in the ledger", one.body)
            continue
        state, error = rows[task_id]
        end = error["code"] if error else state
        if one.ends and end not in one.ends:
            notes.wrong(what, f"{task_id} ended as {end}, not as {' or '.join(sorted(one.ends))}: {error}", one.body)
        elif not one.ends and end in _NEVER:
            notes.wrong(what, f"{task_id} ended as {end}: {error}", one.body)


def judge_log(notes: Notes, service: str, lines: Iterable[str]) -> None:
    """No traceback but those of tasks, no secret, and no process that ended but by a task that says so."""
    for line in lines:
        notes.look(f"the log of {service}", line)
        event = _event_of(line)
        if "exception" in event or line.startswith(_TRACEBACKS):
            notes.wrong(f"no traceback in the log of {service}", line)
        if event.get("event") in {"child_died", "child_killed", "child_broken"}:
            running = [one.rpartition(":")[2] for one in event.get("running", [])]
            if not any(notes.expected[one].ends_process for one in running if one in notes.expected):
                notes.wrong("a process ends only where its task says so", line)


def _event_of(line: str) -> dict[str, Any]:
    """Empty for what a task printed."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def judge(stand: Stand, described: Described) -> None:
    notes, fleet = stand.notes, stand.fleet
    if (code := stand.api.poll()) is not None:
        notes.wrong("the API lives", f"it ended with {code}")
        return
    rows = {str(row.id): row for row in fleet.query(_TASKS)}
    judge_ends(notes, {task_id: (row.state, row.error) for task_id, row in rows.items()})
    _read_all(described, notes)
    for log in stand.log_files():
        with log.open(errors="replace") as lines:
            judge_log(notes, log.name, lines)
    for table in ("task", "task_attempt", "task_event", "task_progress", "audit", "idempotency_key"):
        for row in fleet.query(f"SELECT t::text AS told FROM {table} t WHERE t::text LIKE :like LIMIT 3",
                               like=f"%{notes.secret}%"):  # fmt: skip
            notes.look(f"the table {table}", row.told)
    for task_id, one in notes.expected.items():
        if one == SPEAK:
            line = f"%{SPOKEN.format(task_id)}%"
            heard = fleet.query(
                "SELECT FROM task_event WHERE task_id = :id AND data::text LIKE :line", id=UUID(task_id), line=line
            )
            if len(heard) != 1:  # once, however often its process ended
                notes.wrong(one.promise, f"its line is {len(heard)} times in the log of {task_id}")


def _read_all(described: Described, notes: Notes) -> None:
    """Every task, page and timeline can be read."""
    what = "what is stored can be shown"
    for route in ("/api/v1/tasks", "/api/v1/dead-letters", "/api/v1/tree-items", "/api/v1/audit"):
        cursor: dict[str, str] = {}
        while True:
            answer = described.ask(what, "GET", route, params={"limit": "100", **cursor})
            if answer is None or answer.status_code != 200 or answer.json()["next_cursor"] is None:
                break
            cursor = {"cursor": answer.json()["next_cursor"]}
    for task_id, one in notes.expected.items():
        for rest in ("", "/status", "/events"):
            route = f"/api/v1/tasks/{{task_id}}{rest}"
            answer = described.ask(f"{what}: {one.name}", "GET", route, f"/api/v1/tasks/{task_id}{rest}")
            if answer is not None and answer.status_code not in {200, 500}:  # that is noted
                notes.wrong(f"{what}: {one.name}", f"{answer.status_code} {answer.text}", one.body)
    for task_id in list(notes.expected)[:_FOLLOWED]:
        _follow(described, notes, task_id)
    for route in ("/api/v1/workers", "/api/v1/queues", "/api/v1/task-types", "/health/ready", "/health/detailed"):
        described.ask(what, "GET", route)


def _follow(described: Described, notes: Notes, task_id: str) -> None:
    """The stream of a final task ends, and who has seen its last event is not to come again."""
    route, what = "/api/v1/tasks/{task_id}/events", "a stream ends with the final event"
    address, headers = route.format(task_id=task_id), {"Accept": "text/event-stream"}
    answer = described.ask(what, "GET", route, address, headers=headers)
    ids = re.findall("^id: ?(.+)$", answer.text, re.MULTILINE) if answer is not None else []
    if not ids:
        notes.wrong(what, f"{task_id} has no event")
        return
    again = described.ask(what, "GET", route, address, headers={**headers, "Last-Event-ID": ids[-1]})
    if again is not None and again.status_code != 204:
        notes.wrong(what, f"{again.status_code} to who has seen {ids[-1]}: {again.text}")
