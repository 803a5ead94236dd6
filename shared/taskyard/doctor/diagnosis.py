"""Why an echo did not come back: not published, not claimed, or not finished."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from . import queues
from .api import Answer, Api
from .findings import Finding, Verdict
from .queues import Fleet, age_of, lost_words, paused_words, resume_it, slots_of
from .service import redis_fault

# What a service does not publish itself, the scheduler does after 10 s.
_JUST_NOW_SECONDS = 1.0


def why_not(api: Api, step: str, queue: str, last: Answer, waited: float, *, has_type: bool) -> Finding:
    """Asks the API what it sees, and names the part. `waited`: seconds for which it was waited. `has_type`: a worker of
    the queue had registered the echo's type when it was sent. Raises Away, Refused, and what is in `UNREADABLE`."""
    after = f" after {waited:.0f} s" if waited else ""
    if not last.is_fine:
        return Finding(step, Verdict.FAIL, f"accepted, then lost sight of: {last.says}", do=last.do)
    fleet = queues.look(api)
    task = last.body
    if task["state"] == "running":
        return _not_finished(step, fleet, queue, task, after)
    parts = api.read("/health/detailed").body.get("components") or {}
    return (
        _no_redis(step, parts.get("redis") or {}, after)
        or _unserved(step, fleet, queue, after)
        or _in_outbox(step, parts, task, after)
        or _not_claimed(step, fleet, queue, after, has_type)
    )


def _no_redis(step: str, redis: Mapping[str, Any], after: str) -> Finding | None:
    if fault := redis_fault(redis):
        return Finding(step, Verdict.FAIL, f"not published{after}: {fault.says}", do=fault.do, runbook=fault.runbook)
    return None


def _in_outbox(step: str, parts: Mapping[str, Any], task: Mapping[str, Any], after: str) -> Finding | None:
    outbox, scheduler = parts.get("outbox") or {}, parts.get("scheduler") or {}
    oldest = outbox.get("oldest_at")
    if outbox.get("status") == "unhealthy" or (oldest and _is_before(oldest, task["created_at"])):
        who = "no scheduler leads" if scheduler.get("reason") else "the scheduler has not relayed it yet"
        says = f"not published{after}: it waits in the outbox, and {who}"
        do = "Look at the scheduler's log (`publish_failed`), and whether it reaches the same Redis."
        return Finding(step, Verdict.FAIL, says, do=do, runbook="TaskyardOutboxStuck")
    return None


def _unserved(step: str, fleet: Fleet, queue: str, after: str) -> Finding | None:
    if not fleet.alive(queue):
        says = f"not claimed{after}: no live worker serves the queue{lost_words(fleet, queue)}"
        do = f"Start a worker: `taskyard-worker run --queues {queue}`."
        return Finding(step, Verdict.FAIL, says, do=do, runbook="TaskyardNoWorkerForQueue")
    found = fleet.queues.get(queue) or {}
    if found.get("paused"):
        says = f"not claimed{after}: the queue is {paused_words(found)}"
        return Finding(step, Verdict.FAIL, says, do=resume_it(queue))
    return None


def _not_claimed(step: str, fleet: Fleet, queue: str, after: str, has_type: bool) -> Finding:
    alive = fleet.alive(queue)
    heard_of = [worker for worker in alive if not worker.is_silent]
    if not heard_of:
        names = ", ".join(f"{worker.name} for {worker.beat_age:.0f} s" for worker in alive)
        says = f"not claimed{after}: the queue's workers have not been heard of: {names}"
        do = "Look at their processes and logs: they hang, are stopped, or do not reach PostgreSQL."
        return Finding(step, Verdict.FAIL, says, do=do, runbook="TaskyardWorkerNotPolling")
    if not has_type:
        says = f"not claimed{after}: no live worker of the queue runs taskyard.echo"
        do = "Bring them to the release of this command, and look for `task_type_refused` in their logs."
        return Finding(step, Verdict.FAIL, says, do=do)
    busy, slots = slots_of(heard_of)
    if busy >= slots:
        # Usual where tasks run for minutes: nothing is broken, and the queue's own finding tells of a long wait.
        waiting = (fleet.queues.get(queue) or {}).get("depth", {}).get("queued", 0)
        says = f"not claimed{after}: all slots are busy ({busy} of {slots}), {waiting} wait in the queue"
        do = "Wait longer (--timeout), or add workers or slots; `taskyard-worker inspect active` shows what runs."
        return Finding(step, Verdict.SLOW, says, do=do, runbook="TaskyardBacklogGrowing")
    says = f"not claimed{after}: published, and {slots - busy} slots are free, but no worker fetched it"
    do = "Look at the workers' logs: do they reach the Redis of the API (TASKYARD_REDIS_URL)?"
    return Finding(step, Verdict.FAIL, says, do=do, runbook="TaskyardWorkerNotPolling")


def _not_finished(step: str, fleet: Fleet, queue: str, task: Mapping[str, Any], after: str) -> Finding:
    name = str(task.get("worker") or "a worker")
    says = f"not finished{after}: {name} claimed it {age_of(task['started_at'], fleet.now):.0f} s ago"
    silent = [worker for worker in fleet.workers if worker.name == name.rpartition(":")[0] and worker.is_silent]
    says += f", and has not been heard of for {silent[0].beat_age:.0f} s" if silent else ""
    do = "Look at the process and the log of this worker. If it died, the task runs elsewhere within seconds."
    return Finding(step, Verdict.FAIL, says, do=do, runbook="TaskyardWorkerNotPolling")


def _is_before(oldest: str, created: str) -> bool:
    """The oldest row waits since this echo, or longer."""
    seconds = (datetime.fromisoformat(oldest) - datetime.fromisoformat(created)).total_seconds()
    return seconds <= _JUST_NOW_SECONDS
