"""The API itself: whether it answers, what it says of itself, what the key may do, and whose clock is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .api import Answer, Api, Away, Refused
from .findings import Finding, Verdict, refused, timed

_CLOCK_SECONDS = 5.0
_NO_TASK = "00000000-0000-7000-8000-000000000000"
_DO = {
    "database": "Look at PostgreSQL, and at `taskyard-api check` beside the API.",
    "cache": "Look at the Redis that the API's TASKYARD_CACHE_URL names.",
}
_RUNBOOKS = {"database": "TaskyardDatabaseDown"}
_RUNBOOKS_WHEN_SLOW = {"database": "TaskyardDatabaseSlow"}
_FULL = "its memory is full"  # as /health/detailed has it in English


@dataclass(frozen=True, slots=True)
class Key:
    """What it may do. Known from harmless calls, because no call tells a key its scopes."""

    read: bool = False
    submit: bool = False
    manage: bool = False

    @property
    def scopes(self) -> str:
        return ", ".join(name for name in ("read", "submit", "manage") if getattr(self, name)) or "none"


@dataclass(frozen=True, slots=True)
class Trouble:
    says: str
    do: str
    runbook: str | None = None


_REDIS_DOWN = Trouble(
    "Redis does not answer the API: submits are kept, and run once it is back",
    "Look at Redis: does it run, and does the API's TASKYARD_REDIS_URL lead to it? Nothing has to be submitted again.",
    "TaskyardRedisDown",
)
_REDIS_FULL = Trouble(
    "the memory of Redis is full: submits are kept, and run once there is room",
    "Give it more memory, or let more workers empty the queues. Nothing has to be submitted again.",
    "TaskyardRedisMemory",
)


def redis_fault(part: Mapping[str, object]) -> Trouble | None:
    """`part`: `redis` of /health/detailed."""
    if part.get("status") != "unhealthy":
        return None
    return _REDIS_FULL if part.get("reason") == _FULL else _REDIS_DOWN


def _of(step: str, fault: Trouble, seconds: float) -> Finding:
    return Finding(step, Verdict.FAIL, fault.says, seconds, do=fault.do, runbook=fault.runbook)


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
        return _of("ready", _REDIS_DOWN, answer.seconds)
    if answer.code == "stopping":
        do = "Ask another replica; this one is being stopped or replaced."
        return Finding("ready", Verdict.FAIL, f"this replica stops: {answer.detail}", answer.seconds, do=do)
    return refused("ready", answer)


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
    before anything happens. Any other answer, from a proxy or for too many requests, says nothing about the key."""
    read = api.get("/api/v1/queues")
    if read.status == 401:
        do = "Set TASKYARD_API_KEY to a valid key; `taskyard-api keys list` shows them, `keys create` makes one."
        return Key(), Finding("key", Verdict.FAIL, read.detail or read.says, read.seconds, do=do)
    try:
        found = Key(
            read=_has_scope(read, 200),
            submit=_has_scope(api.post("/api/v1/tasks", {}), 422),
            manage=_has_scope(api.post(f"/api/v1/tasks/{_NO_TASK}/cancel"), 404),
        )
    except Refused as e:
        return Key(read=read.is_fine), refused("key", e.answer)
    says = f"valid; scopes: {found.scopes}"
    missing = _missing(found)
    if missing:
        do = f"Without them: {missing}. `taskyard-api keys create --scope read --scope submit --scope manage` has all."
        return found, Finding("key", Verdict.WARN, says, read.seconds, do=do)
    return found, Finding("key", Verdict.OK, says, read.seconds)


def _has_scope(answer: Answer, status_with_it: int) -> bool:
    """Raises Refused."""
    if answer.status not in {status_with_it, 403} or not answer.body:
        raise Refused(answer)
    return answer.status == status_with_it


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
        yield refused("parts", answer)
        return
    found: Mapping[str, Mapping[str, object]] = answer.body.get("components") or {}
    for name in ("database", "redis", "cache"):
        if (part := found.get(name)) is None:
            continue
        seconds = float(str(part.get("latency_ms") or 0)) / 1000
        if part.get("status") == "healthy":
            do, runbook = "Look at its load and the way to it.", _RUNBOOKS_WHEN_SLOW.get(name)
            yield timed(name, "answers the API", seconds, slow_after=slow_after, do=do, runbook=runbook)
        elif name == "redis" and (fault := redis_fault(part)):
            yield _of(name, fault, seconds)
        else:
            yield _of(
                name, Trouble(f"{part.get('reason')}, as the API sees it", _DO[name], _RUNBOOKS.get(name)), seconds
            )
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
            do="Look at Redis, then at the scheduler's log (`publish_failed`; `job_failed`: a lock on the outbox).",
            runbook="TaskyardOutboxStuck",
        )
    elif outbox:
        yield Finding("outbox", Verdict.OK, "what is submitted is published")


def _since(outbox: Mapping[str, object]) -> str:
    """A key that is restricted to queues is told no numbers."""
    return f": {outbox['pending']} submits since {outbox['oldest_at']}" if outbox.get("pending") else ""
