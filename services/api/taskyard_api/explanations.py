"""Why a task is where it is, in words: facts become reasons, each with a stable code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from taskyard.domain.messages import message
from taskyard.domain.tasks import FINAL, State
from taskyard.lifecycle.explanation import MOST_AHEAD, Facts
from taskyard.lifecycle.limit_holders import HeldLimit

from .awaited_steps import awaited
from .ended_attempts import attempt_told
from .explanation_answers import Code, left_out
from .limit_messages import limit_told
from .reasons_of_runs import Reason, Row, ended, running, told_time, whole
from .translation import Words

# Why a worker that did not know a task's type put it off: these say more than that it did.
_TYPE_CODES = frozenset({Code.UNKNOWN_TYPE, Code.OLDER_VERSION, Code.NO_WORKER, Code.WORKERS_DRAIN})
_ENDED_BY_THE_SCHEDULER = frozenset({Code.LIMITED, Code.EXPIRED, Code.UNPUBLISHED, Code.WORKER_SILENT})


def explained(facts: Facts, words: Words) -> dict[str, Any]:
    """As `explanation_answers.Explanation` has it."""
    task = facts.task
    reasons = list(_with_its_scheduler(_reasons(facts, words), leads=task["leads"]))
    shown = [{"code": r.code, "message": words.say(r.message), **left_out(r.values)} for r in reasons]
    has_turn = reasons[0].code is Code.IN_LINE
    estimate = facts.seconds_to_go if has_turn else None
    more = {
        "position": facts.place if has_turn else None,
        "estimate_seconds": None if estimate is None else round(estimate, 1),
    }
    return {
        "task_id": task["id"],
        "state": task["state"],
        "summary": shown[0]["message"],
        "reasons": shown,
        **left_out(more),
        "attempts": [attempt_told(row, task, words) for row in facts.attempts],
    }


def _reasons(facts: Facts, words: Words) -> Iterator[Reason]:
    task = facts.task
    state = State(task["state"])
    if state in FINAL:
        yield from ended(task, words)
    elif state is State.RUNNING:
        yield from running(task)
    elif state is State.QUEUED:
        found = [*_hindrances(facts)]
        yield from found or [_in_line(facts)]
    else:
        found = [_not_yet(task, state, words), *_hindrances(facts)]
        if task["put_off_for"] == "unknown_task_type":
            found.sort(key=lambda reason: reason.code not in _TYPE_CODES)
        yield from found


def _with_its_scheduler(reasons: Iterator[Reason], *, leads: bool) -> Iterator[Reason]:
    """Behind the first that only a scheduler ends: that none leads."""
    is_told = leads
    for reason in reasons:
        yield reason
        is_told = is_told or reason.code is Code.NO_SCHEDULER
        if reason.code in _ENDED_BY_THE_SCHEDULER and not is_told:
            is_told = True
            text = message("It waits for the scheduler, and none leads. Start one: `taskyard-scheduler run`.")
            yield Reason(Code.NO_SCHEDULER, text, {})


def _not_yet(task: Row, state: State, words: Words) -> Reason:
    """Why a task that is not queued is not."""
    if state is State.BLOCKED:
        return _blocked(task, words)
    due = {"due_at": task["due_at"]}
    seconds = (task["due_at"] - task["read_at"]).total_seconds()
    if seconds <= 0:
        if task["leads"]:
            return Reason(Code.DUE, message("Its time has come: the scheduler queues it next."), due)
        text = message("Its time has come, but no scheduler leads. Start one: `taskyard-scheduler run`.")
        return Reason(Code.NO_SCHEDULER, text, due)
    told: dict[str, str | int] = {"time": told_time(task["due_at"]), "seconds": whole(seconds)}
    due |= {"in_seconds": round(seconds, 1)}
    if state is State.RETRYING:
        text = message(
            "It failed and is tried again at {time}, in {seconds} s. {failures} of its {most} attempts have failed.",
            failures=task["failures"],
            most=task["max_attempts"],
            **told,
        )
        return Reason(Code.RETRYING, text, due)
    match task["put_off_for"]:
        case "unknown_task_type":
            text = message(
                "A worker did not know its type or version. It is queued again at {time}, in {seconds} s.", **told
            )
        case "slowed":
            text = message(
                "Tasks of its type and submitter ended their processes too often, so a worker put it off. It is queued"
                " again at {time}, in {seconds} s.",
                **told,
            )
        case _:
            return Reason(Code.SCHEDULED, message("It is due at {time}, in {seconds} s.", **told), due)
    return Reason(Code.PUT_OFF, text, due)


def _blocked(task: Row, words: Words) -> Reason:
    steps = task["waits_for"] or []
    return Reason(Code.STEPS, awaited(steps, words), {"steps": steps})


def _hindrances(facts: Facts) -> Iterator[Reason]:
    """What keeps workers from claiming it, in the order of `claim.CONDITIONS`, and Redis from having it."""
    for name in facts.task["hindrances"]:
        if name == LIMITED:
            yield from _limited(facts)
        elif (told := TOLD.get(name)) is not None:
            yield told(facts.task)
    if (since := facts.behind_since) is not None:
        text = message(
            "Publishing to Redis has been behind since {time}, and may not have reached this task. Check that Redis"
            " answers and has memory left.",
            time=told_time(since),
        )
        yield Reason(Code.UNPUBLISHED, text, {"since": since})


def _paused(task: Row) -> Reason:
    since = task["paused_at"]
    text = message("The queue {queue} has been paused since {time}.", queue=task["queue"], time=told_time(since))
    return Reason(Code.PAUSED, text, {"queue": task["queue"], "since": since})


def _unknown(task: Row) -> Reason:
    queue, name, newest = task["queue"], task["name"], task["newest"]
    values = {"queue": queue}
    if not task["serving"]:
        if task["draining"]:
            text = message("The workers of the queue {queue} are being drained and take no more tasks.", queue=queue)
            return Reason(Code.WORKERS_DRAIN, text, values)
        return Reason(Code.NO_WORKER, message("No live worker serves the queue {queue}.", queue=queue), values)
    if newest is None:
        text = message("Live workers serve the queue {queue}, but none of them runs {name}.", queue=queue, name=name)
        return Reason(Code.UNKNOWN_TYPE, text, {**values, "workers": task["serving"]})
    text = message(
        "Workers of the queue {queue} run {name} up to version {newest}, and the task has version {version}.",
        queue=queue,
        name=name,
        newest=newest,
        version=task["version"],
    )
    return Reason(Code.OLDER_VERSION, text, {**values, "version": task["version"], "newest_version": newest})


def _apart(task: Row) -> Reason:
    text = message(
        "A process that was running it died or was ended, so it runs next in a process apart from ordinary tasks."
    )
    return Reason(Code.APART, text, {"queue": task["queue"]})


def _expired(task: Row) -> Reason:
    time = told_time(task["expires_at"])
    text = message("It expired at {time}: the scheduler is about to end it.", time=time)
    if not task["leads"]:
        text = message("It expired at {time}, and a scheduler has to end it.", time=time)
    return Reason(Code.EXPIRED, text, {})


# These refuse one worker, not all of them.
TOLD: dict[str, Callable[[Row], Reason]] = {
    "paused": _paused,
    "unknown": _unknown,
    "apart": _apart,
    "expired": _expired,
}
OF_ONE_WORKER = frozenset({"worker_lost", "moved", "slowed"})
# Told of each limit apart, where it has several.
LIMITED = "limited"


def _limited(facts: Facts) -> Iterator[Reason]:
    # Without any where its limit was taken away, which the leader has yet to see.
    for limit in facts.limits or [HeldLimit([], queue=facts.task["queue"])]:
        yield _one_limit(limit, facts.task)


def _one_limit(limit: HeldLimit, task: Row) -> Reason:
    text = limit_told(limit, leads=task["leads"], is_paused=task["paused_at"] is not None)
    given = {name: getattr(limit, name) for name in ("key", "queue", "concurrent", "per_second", "held", "position")}
    if (seconds := limit.earliest_in_seconds) is not None:
        given["earliest_in_seconds"] = round(seconds, 1)
    values = {"holders": limit.holders, **{name: value for name, value in given.items() if value is not None}}
    return Reason(Code.LIMITED, text, values)


def _in_line(facts: Facts) -> Reason:
    task, place, estimate = facts.task, facts.place, facts.seconds_to_go
    values = {"queue": task["queue"], "workers": task["serving"]}
    if place is None:
        text = message(
            "It waits for its turn in the queue {queue}, where more than {most} tasks wait.",
            most=f"{MOST_AHEAD:,}",
            queue=task["queue"],
        )
    elif estimate is None:
        text = message("It is number {n} in the queue {queue}.", n=place, queue=task["queue"])
    else:
        text = message(
            "It is number {n} in the queue {queue}: at the rate of the last minutes, a worker takes it in about"
            " {seconds} s.",
            n=place,
            queue=task["queue"],
            seconds=whole(estimate),
        )
    return Reason(Code.IN_LINE, text, values)
