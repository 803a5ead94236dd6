"""The API itself: whether it answers, what it says of itself, what the key may do, and whose clock is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .api import Answer, Api, Away
from .findings import Finding, Verdict, timed

_CLOCK_SECONDS = 5.0
_NO_TASK = "00000000-0000-7000-8000-000000000000"
_RUNBOOKS = {"database": "TaskyardDatabaseDown", "redis": "TaskyardRedisDown"}


@dataclass(frozen=True, slots=True)
class Key:
    """What it may do. Known from harmless calls, because no call tells a key its scopes."""

    read: bool = False
    submit: bool = False
    manage: bool = False

    @property
    def scopes(self) -> str:
        return ", ".join(name for name in ("read", "submit", "manage") if getattr(self, name)) or "none"


def live(api: Api, *, slow_after: float) -> Finding:
    """Raises Away: without an answer nothing else can be looked at."""
    answer = api.get("/health/live")
    if answer.body.get("status") != "alive":
        raise Away(f"what answers /health/live, with {answer.status}, is not Taskyard's API: check TASKYARD_URL")
    return timed("api", "answers /health/live", answer.seconds, slow_after=slow_after, do="Look at its processor time.")


def ready(answer: Answer) -> Finding:
    """Of /health/ready."""
    body = answer.body
    if answer.is_fine and body.get("status") == "ready":
        return Finding("ready", Verdict.OK, "takes requests; PostgreSQL and Redis answer it", answer.seconds)
    if body.get("status") == "degraded":
        return Finding(
            "ready",
            Verdict.FAIL,
            "Redis does not answer the API: submits are kept, and run once it is back",
            answer.seconds,
            do="Look at Redis: is it up, is its memory full, does the API's TASKYARD_REDIS_URL lead to it?",
            runbook=_RUNBOOKS["redis"],
        )
    says = answer.says.rstrip(".")
    if answer.code == "stopping":
        return Finding("ready", Verdict.FAIL, f"this replica stops: {says}", answer.seconds)
    return Finding(
        "ready",
        Verdict.FAIL,
        f"does not take requests: {says}",
        answer.seconds,
        do="Look at PostgreSQL, and at `taskyard-api check` beside the API; `taskyard-api migrate` brings its tables.",
        runbook=_RUNBOOKS["database"],
    )


def clock(answer: Answer) -> Finding:
    if answer.date is None:
        return Finding("clock", Verdict.SKIP, "the answers have no date")
    # `Date` has whole seconds: half of one is the best guess, and what the answer took is within the tolerance.
    apart = (datetime.now(UTC) - answer.date).total_seconds() - 0.5
    if abs(apart) <= _CLOCK_SECONDS:
        return Finding("clock", Verdict.OK, "this machine's and the API's agree within seconds")
    says = f"this machine is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} the API"
    return Finding("clock", Verdict.WARN, says, do="Check the time service (NTP) of both.")


def key(api: Api) -> tuple[Key, Finding]:
    """Finds the scopes: a list (read), a submit without a name (submit), and a cancel of no task (manage) are refused
    before anything happens."""
    read = api.get("/api/v1/queues")
    if read.status == 401:
        do = "Set TASKYARD_API_KEY to a valid key; `taskyard-api keys list` shows them, `keys create` makes one."
        return Key(), Finding("key", Verdict.FAIL, read.says.rstrip("."), read.seconds, do=do)
    if read.status >= 500 or read.status == 429:
        return Key(), Finding("key", Verdict.SKIP, f"cannot be looked up: {read.says}", read.seconds)
    found = Key(
        read=read.is_fine,
        submit=api.post("/api/v1/tasks", {}).status == 422,
        manage=api.post(f"/api/v1/tasks/{_NO_TASK}/cancel").status == 404,
    )
    says = f"valid; scopes: {found.scopes}"
    missing = _missing(found)
    if missing:
        do = f"Without them: {missing}. `taskyard-api keys create --scope read --scope submit --scope manage` has all."
        return found, Finding("key", Verdict.WARN, says, read.seconds, do=do)
    return found, Finding("key", Verdict.OK, says, read.seconds)


def _missing(found: Key) -> str:
    lacks = {
        "no look at queues, workers and the scheduler, and no waiting for an echo (read)": found.read,
        "no echo (submit)": found.submit,
        "an echo that nobody runs stays until it expires, and is then a dead letter (manage)": found.manage,
    }
    return "; ".join(words for words, is_there in lacks.items() if not is_there)


def parts(answer: Answer, *, slow_after: float) -> Iterator[Finding]:
    """Of /health/detailed: the parts that the API sees."""
    if not answer.is_fine:
        yield Finding("parts", Verdict.SKIP, answer.says, answer.seconds)
        return
    found: Mapping[str, Mapping[str, object]] = answer.body.get("components") or {}
    for name in ("database", "redis", "cache"):
        if (part := found.get(name)) is None:
            continue
        seconds = float(str(part.get("latency_ms") or 0)) / 1000
        if part.get("status") == "healthy":
            yield timed(name, "answers the API", seconds, slow_after=slow_after)
        else:
            says = f"{part.get('reason')}, as the API sees it"
            yield Finding(name, Verdict.FAIL, says, seconds, runbook=_RUNBOOKS.get(name))
    yield from _scheduler(found.get("scheduler") or {}, found.get("outbox") or {})


def _scheduler(scheduler: Mapping[str, object], outbox: Mapping[str, object]) -> Iterator[Finding]:
    if scheduler.get("leader"):
        yield Finding("scheduler", Verdict.OK, f"{scheduler['leader']} leads")
    else:
        yield Finding(
            "scheduler",
            Verdict.FAIL,
            f"{scheduler.get('reason') or 'no scheduler leads'}: delayed tasks, retries and schedules stand still, and "
            "lost workers' tasks are not run elsewhere",
            do="Start a scheduler; look at its log.",
            runbook="TaskyardNoLeader",
        )
    if outbox.get("reason"):
        yield Finding(
            "outbox",
            Verdict.FAIL,
            f"what was submitted {outbox['reason']}{_since(outbox)}",
            do="Look at Redis, then at the scheduler's log (`publish_failed`).",
            runbook="TaskyardOutboxStuck",
        )
    elif outbox:
        yield Finding("outbox", Verdict.OK, "what is submitted is published")


def _since(outbox: Mapping[str, object]) -> str:
    """A key that is restricted to queues is told no numbers."""
    return f": {outbox['pending']} submits since {outbox['oldest_at']}" if outbox.get("pending") else ""
