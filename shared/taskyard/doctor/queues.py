"""The queues and their workers, as the API shows them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .api import Answer, Api
from .findings import Finding, Verdict

# Of 200 workers. Those that ended within the last hour are listed too, and the living may stand behind them.
_MOST_PAGES = 50
_GONE = frozenset({"stopped", "lost"})
# Workers beat every 5 s unless TASKYARD_HEARTBEAT_SECONDS says otherwise.
_LATE_BEAT_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Worker:
    name: str
    queues: Collection[str]
    state: str
    slots: int
    running: int
    beat_age: float

    @property
    def is_alive(self) -> bool:
        return self.state not in _GONE

    @property
    def is_silent(self) -> bool:
        """Alive by its lease, and yet no longer heard of: it hangs, or is stopped."""
        return self.beat_age > _LATE_BEAT_SECONDS


@dataclass(frozen=True, slots=True)
class Fleet:
    """`now`: the API's time, with which all ages are reckoned, because this machine's clock may be wrong."""

    now: datetime
    queues: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    workers: Collection[Worker] = ()

    def alive(self, queue: str) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_alive and queue in worker.queues]

    def gone(self, queue: str) -> list[Worker]:
        return [worker for worker in self.workers if worker.state == "lost" and queue in worker.queues]

    def served(self) -> list[str]:
        return [name for name in self.queues if self.alive(name)]


def slots_of(workers: Collection[Worker]) -> tuple[int, int]:
    """Those that run something, and all."""
    return sum(worker.running for worker in workers), sum(worker.slots for worker in workers)


def look(api: Api) -> Fleet:
    """Raises Away, Refused, and what is in `UNREADABLE`."""
    queues = api.read("/api/v1/queues")
    now = now_by(queues)
    return Fleet(now, {item["name"]: item for item in queues.items}, [_worker(item, now) for item in _workers(api)])


def _workers(api: Api) -> Iterator[Mapping[str, Any]]:
    query: dict[str, Any] = {"limit": 200}
    for _ in range(_MOST_PAGES):
        page = api.read("/api/v1/workers", **query)
        yield from page.items
        if (cursor := page.body.get("next_cursor")) is None:
            return
        query["cursor"] = cursor


def findings(fleet: Fleet, wanted: Collection[str], *, slow_after: float) -> Iterator[Finding]:
    """`wanted`: queues that have to be served, though nothing may wait in them."""
    for name in sorted({*fleet.queues, *wanted}):
        queue = fleet.queues.get(name)
        if queue is None:
            says = "there is no such queue, or the key may not see it"
            yield Finding(f"queue {name}", Verdict.FAIL, says, do="`taskyard-worker run --queues` makes a queue.")
        elif fleet.alive(name) or name in wanted or queue["depth"].get("queued"):
            yield _queue(fleet, name, queue, slow_after)
    idle = [name for name, queue in fleet.queues.items() if not fleet.alive(name) and not queue["depth"].get("queued")]
    if others := [name for name in idle if name not in wanted]:
        yield Finding("other queues", Verdict.OK, f"no worker, and nothing waits: {', '.join(others)}")


def _queue(fleet: Fleet, name: str, queue: Mapping[str, Any], slow_after: float) -> Finding:
    step, waiting, oldest = f"queue {name}", queue["depth"].get("queued", 0), queue.get("oldest_waiting_at")
    waited = f"{waiting} wait" if waiting else "nothing waits"
    age = age_of(oldest, fleet.now) if waiting and oldest else 0.0
    if age:
        waited += f", the oldest for {age:.0f} s"
    if not (alive := fleet.alive(name)):
        says = f"no live worker serves it, {waited}{lost_words(fleet, name)}"
        if queue.get("paused"):
            says += f"; {paused_words(queue)}"
        do = f"Start a worker: `taskyard-worker run --queues {name}`."
        return Finding(step, Verdict.FAIL, says, do=do, runbook="TaskyardNoWorkerForQueue")
    busy, slots = slots_of(alive)
    says = f"{len(alive)} {'worker' if len(alive) == 1 else 'workers'}, {busy} of {slots} slots busy, {waited}"
    if queue.get("paused"):
        return Finding(step, Verdict.WARN, f"{says}; {paused_words(queue)}", do=resume_it(name))
    if silent := [worker for worker in alive if worker.is_silent]:
        says = f"{says}; {silent[0].name} has not been heard of for {silent[0].beat_age:.0f} s"
        do = "Look at the log and the process of this worker: it hangs, is stopped, or does not reach PostgreSQL."
        return Finding(step, Verdict.WARN, says, do=do, runbook="TaskyardWorkerNotPolling")
    if age > slow_after:
        do = "Add workers or slots, or find what takes so long: `taskyard-worker inspect active`."
        return Finding(step, Verdict.SLOW, says, do=do, runbook="TaskyardOldestTaskWaiting")
    return Finding(step, Verdict.OK, says)


def paused_words(queue: Mapping[str, Any]) -> str:
    by = f" by {queue['paused_by']}" if queue.get("paused_by") else ""
    return f"paused since {queue.get('paused_at')}{by}"


def resume_it(queue: str) -> str:
    return f"Resume it, unless the pause is still meant: `taskyard queues resume {queue}`."


def lost_words(fleet: Fleet, queue: str) -> str:
    gone = fleet.gone(queue)
    return f"; {gone[0].name} is lost, last heard of {gone[0].beat_age:.0f} s ago" if gone else ""


def age_of(at: str, now: datetime) -> float:
    """Seconds. Never negative: the API's time comes in whole seconds."""
    return max(0.0, (now - datetime.fromisoformat(at)).total_seconds())


def _worker(item: Mapping[str, Any], now: datetime) -> Worker:
    return Worker(
        name=str(item["name"]),
        queues=item["queues"],
        state=str(item["state"]),
        slots=int(item["processes"]) * int(item["threads"]),
        running=int(item["running_tasks"]),
        beat_age=age_of(item["last_beat_at"], now),
    )


def now_by(answer: Answer) -> datetime:
    return answer.date or datetime.now(UTC)
