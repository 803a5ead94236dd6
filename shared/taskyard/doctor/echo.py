"""The echo: a task that is sent through a queue, followed to its end, and taken back where it does not come back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from .api import Answer, Api, Away, Refused
from .diagnosis import why_not
from .findings import UNREADABLE, Finding, Verdict, refused, unreadable
from .queues import Fleet
from .service import Key

TYPE = "taskyard.echo"
TAG = "taskyard-doctor"
_AGAIN = "Run `taskyard doctor` again."
_UNKNOWN = "it did not come back, and why is not known"
_AGAIN_SECONDS = 0.3
# A wait that a proxy between does not cut off.
_POLL_SECONDS = 20.0
# Where nobody takes it back, an echo that is not run ends soon after.
_EXPIRES_AFTER_SECONDS = 60.0
_FINAL = frozenset({"succeeded", "failed", "cancelled"})
_REFUSED = {
    "no_task_types": "No worker has ever registered here: start one.",
    "unknown_task_type": "Bring the workers to the release of this command: each of them has this type.",
    "queue_not_served": "Bring the workers of this queue to the release of this command.",
    "queue_not_allowed": "The key is restricted to other queues.",
}
_DO_WHEN_SLOW = {
    "submit": "Look at the API and at PostgreSQL's commits.",
    "claim": "Look at the queue's workers: too few slots, or a slow Redis or PostgreSQL.",
    "run": "Look at the processor time of the worker's machine.",
    "told": "Look at Redis and at the API.",
}
_RUNBOOK_WHEN_SLOW = {"submit": "TaskyardDatabaseSlow", "claim": "TaskyardQueueWaitBudgetBurn"}


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: `echo` until an echo has to be back, `slow_echo` and `slow_answer` from which on something is slow."""

    echo: float = 15.0
    slow_echo: float = 1.0
    slow_answer: float = 0.5


@dataclass(frozen=True, slots=True)
class Echo:
    """`task_id` None: it was not accepted. `is_back`: it succeeded."""

    finding: Finding
    task_id: str | None = None
    is_back: bool = False


def send(api: Api, queue: str, key: Key, patience: Patience, fleet: Fleet) -> Echo:
    """Sends one and waits for it. Raises nothing: whatever goes wrong is a finding."""
    step = f"echo {queue}"
    try:
        return _send(api, step, queue, key, patience, fleet)
    except UNREADABLE as e:
        return Echo(unreadable(step, e))
    except Away as e:
        return Echo(Finding(step, Verdict.FAIL, str(e), do=_AGAIN, runbook="TaskyardApiDown"))


def _send(api: Api, step: str, queue: str, key: Key, patience: Patience, fleet: Fleet) -> Echo:
    value = uuid4().hex
    expires = fleet.now + timedelta(seconds=patience.echo + _EXPIRES_AFTER_SECONDS)
    body = {"name": TYPE, "queue": queue, "params": {"value": value}, "tags": [TAG], "expires_at": expires.isoformat()}
    started = time.perf_counter()
    accepted = api.post("/api/v1/tasks", body)
    if not accepted.is_fine:
        do = _REFUSED.get(accepted.code, accepted.do)
        return Echo(Finding(step, Verdict.FAIL, f"not accepted: {accepted.says}", accepted.seconds, do=do))
    task_id = str(accepted.body["id"])
    if not key.read:
        says = "accepted; whether it runs is not seen, because the key lacks the scope `read`"
        return Echo(Finding(step, Verdict.SKIP, says), task_id)
    # Where no worker lives, waiting would tell nothing more. (The API's warning `no_live_worker` does not say that: it
    # comes as well while a worker that has just started registers its types.)
    seconds = patience.echo if fleet.alive(queue) else 0.0
    last = _wait(api, task_id, started + seconds)
    if last.body.get("state") in _FINAL:
        total = time.perf_counter() - started
        finding = _ended(step, last.body, value, total, accepted.seconds, patience)
        return Echo(finding, task_id, last.body.get("state") == "succeeded")
    try:
        finding = why_not(api, step, queue, last, seconds, has_type=not accepted.body.get("warnings"))
    except Away as e:
        finding = Finding(step, Verdict.FAIL, f"{_UNKNOWN}: {e}", do=_AGAIN, runbook="TaskyardApiDown")
    except Refused as e:
        finding = refused(step, e.answer)
        finding = replace(finding, says=f"{_UNKNOWN}: {finding.says}")
    except UNREADABLE as e:
        finding = unreadable(step, e)
    return Echo(_with_end(finding, _take_back(api, task_id, key, expires)), task_id)


def _wait(api: Api, task_id: str, until: float) -> Answer:
    """The task when it is final or the time is over. An API that is away for a moment is asked again."""
    while True:
        left = max(0.0, until - time.perf_counter())
        try:
            seconds = min(left, _POLL_SECONDS)
            answer = api.get(f"/api/v1/tasks/{task_id}", waits=seconds, wait=f"{seconds:.2f}")
            if answer.body.get("state") in _FINAL or left <= 0:
                return answer
        except Away:
            if left <= 0:
                raise
        else:
            if answer.is_fine:
                continue
        time.sleep(_AGAIN_SECONDS)


def _ended(
    step: str, task: Mapping[str, Any], value: str, total: float, submitted: float, patience: Patience
) -> Finding:
    if task["state"] == "failed":
        error = task.get("error") or {}
        says = f"failed: {error.get('message')} ({error.get('code')})"
        return Finding(step, Verdict.FAIL, says, total, do="Look at the worker's log.")
    if task["state"] == "cancelled":
        return Finding(step, Verdict.WARN, "was cancelled by someone else", total)
    if (task.get("result") or {}).get("value") != value:
        return Finding(step, Verdict.FAIL, f"came back with another value than was sent: {task.get('result')}", total)
    stages = _stages(task, total, submitted)
    shown = ", ".join(f"{name} {seconds * 1000:.0f}" for name, seconds in stages.items())
    says = f"came back; {shown} ms"
    slowest = max(stages, key=stages.__getitem__)
    if total <= patience.slow_echo:
        return Finding(step, Verdict.OK, says, total)
    says = f"{says}; {slowest} is what took long"
    return Finding(step, Verdict.SLOW, says, total, _DO_WHEN_SLOW[slowest], _RUNBOOK_WHEN_SLOW.get(slowest))


def _stages(task: Mapping[str, Any], total: float, submitted: float) -> dict[str, float]:
    """Seconds: the submit and the whole by this machine's clock, what lies between by the platform's. `claim` is the
    way through the outbox, Redis and the worker's fetch; `told` the rest, until this command knew of the end."""
    claimed, ended = _between(task, "created_at", "started_at"), _between(task, "started_at", "finished_at")
    return {
        "submit": submitted,
        "claim": claimed,
        "run": ended,
        "told": max(0.0, total - submitted - claimed - ended),
    }


def _between(task: Mapping[str, Any], first: str, last: str) -> float:
    begun, ended = (datetime.fromisoformat(task[name]) for name in (first, last))
    return max(0.0, (ended - begun).total_seconds())


def _take_back(api: Api, task_id: str, key: Key, expires: datetime) -> str:
    """Cancels it, so that nothing is left. What became of it, in words."""
    if not key.manage:
        return f"the key lacks `manage`, so it ends when it expires, at {expires:%H:%M:%S} UTC"
    try:
        answer = api.post(f"/api/v1/tasks/{task_id}/cancel")
    except Away:
        answer = None
    if answer is None or not (answer.is_fine or answer.status == 409):
        return f"it could not be cancelled and ends when it expires; id {task_id}"
    return "it was cancelled" if answer.is_fine else "it ended just afterwards"


def _with_end(finding: Finding, end: str) -> Finding:
    return replace(finding, says=f"{finding.says} ({end})")
