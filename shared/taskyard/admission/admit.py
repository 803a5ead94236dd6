"""admit: a wish and the spec of its type become a task, or a list of everything that is wrong with the wish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from ..catalogue.compiled import CompiledSpec
from ..catalogue.registry import TypeRegistry
from ..catalogue.secrets import Cipher
from ..catalogue.sizes import Size
from ..catalogue.types import SHORTEST_LIMIT
from ..domain.callbacks import DELIVER, Callback
from ..domain.faults import Fault
from ..domain.ids import new_id
from ..domain.messages import message
from ..domain.new_tasks import Limits, NewTask, Unique
from .bodies import MAX_DELAY_SECONDS
from .parameters import accepted
from .wishes import Caller, Served, Wish

UNKNOWN_TYPE = "unknown_task_type"
UNKNOWN_QUEUE = "unknown_queue"
QUEUE_NOT_ALLOWED = "queue_not_allowed"
QUEUE_NOT_SERVED = "queue_not_served"
RESERVED_TYPE = "reserved_task_type"
_RESERVED = message("The platform itself submits tasks of this type.")

_YEAR = timedelta(days=365)
_LONGEST_DELAY = timedelta(seconds=MAX_DELAY_SECONDS)
_LATEST_EXPIRY = _LONGEST_DELAY + _YEAR
_SHORTEST = SHORTEST_LIMIT.total_seconds()
_EVERYWHERE = Served()


def admit(
    wish: Wish,
    spec: CompiledSpec,
    caller: Caller,
    *,
    cipher: Cipher,
    life: timedelta,
    now: datetime,
    make_id: Callable[[], UUID] = new_id,
    served: Served = _EVERYWHERE,
    prefix: str = "",
    parsed: bool = False,
    size: Size | None = None,
    request_id: str | None = None,
    traceparent: str | None = None,
    callback: Callback | None = None,
    parent_id: UUID | None = None,
    workflow_id: UUID | None = None,
    schedule_id: UUID | None = None,
    reserved_too: bool = False,
    takes_results: bool = False,
) -> NewTask | list[Fault]:
    """The task, or at least one fault; pointers begin with `prefix`.

    `life` is from the first due time to the end. `parsed`: the parameters come out of a checked JSON body. `size`: they
    are known to be no larger. A fault of the code `queue_not_allowed` comes alone. Raises SecretsUnreadable where
    a parameter is secret and there is no key. `reserved_too`: also of the type that only the platform submits.
    `takes_results`: as for `accepted`.
    """
    if spec.name == DELIVER and not reserved_too:
        return [Fault(f"{prefix}/name", _RESERVED, RESERVED_TYPE)]
    queue = spec.queue if wish.queue is None else wish.queue
    allowed = caller.queues
    forbidden = allowed is not None and queue not in allowed
    if forbidden and wish.queue is not None:
        return [_not_allowed(queue, prefix)]
    faults: list[Fault] = []
    if wish.queue is not None:
        _check_queue(queue, spec.queue, caller, served, prefix, faults)
    if wish.run_at is not None or wish.expires_at is not None:
        _check_times(wish, prefix, faults, now)
    soft, hard = _limits(wish, spec, prefix, faults)
    params = accepted(
        wish.params, spec, cipher, f"{prefix}/params", parsed=parsed, size=size, takes_results=takes_results
    )
    if isinstance(params, list):
        return faults + params
    if faults:
        return faults
    if forbidden:
        return [_not_allowed(queue, prefix)]
    delay, unique, limits = wish.delay_seconds, wish.unique, wish.limits
    return NewTask(
        id=make_id(),
        name=spec.name,
        queue=queue,
        params=params,
        version=spec.version,
        max_attempts=wish.max_attempts or spec.max_attempts,
        soft_timeout_seconds=soft,
        hard_timeout_seconds=hard,
        delay_seconds=delay,
        run_at=wish.run_at,
        expires_at=wish.expires_at,
        life_seconds=life.total_seconds(),
        tags=list(dict.fromkeys(wish.tags)) if wish.tags else [],
        on_cancel=wish.on_cancel,
        unique=Unique(unique.key, unique.hold) if unique else None,
        limits=Limits(limits.key, limits.concurrent, limits.per_second) if limits else None,
        request_id=request_id,
        traceparent=traceparent,
        submitted_by=caller.name,
        allowed_queues=None if allowed is None else sorted(allowed),
        callback=callback,
        workflow_id=workflow_id,
        schedule_id=schedule_id,
        parent_id=parent_id,
    )


def unknown_type(registry: TypeRegistry, name: str, prefix: str = "") -> Fault:
    """The fault for a name that no worker has registered, with the nearest names."""
    return Fault(f"{prefix}/name", registry.advice(name), UNKNOWN_TYPE)


def unknown_queue(queue: str, prefix: str = "") -> Fault:
    told = message(
        "There is no queue {queue}. A queue exists once a worker serves it (`taskyard-worker run --queues`).",
        queue=repr(queue[:64]),
    )
    return Fault(f"{prefix}/queue", told, UNKNOWN_QUEUE)


def repeated_keys(wishes: Sequence[Wish]) -> list[Fault]:
    """Faults for unique keys that occur twice in a batch; pointers are `/tasks/N/unique/key`."""
    faults = []
    seen: set[tuple[str, str]] = set()
    for n, wish in enumerate(wishes):
        if wish.unique is not None:
            key = (wish.name, wish.unique.key)
            if key in seen:
                faults.append(
                    Fault(f"/tasks/{n}/unique/key", message("Another task of this batch has the same unique key."))
                )
            seen.add(key)
    return faults


def check_change(
    wish: Wish, spec: CompiledSpec | None, caller: Caller, *, served: Served, now: datetime
) -> list[Fault]:
    """What is wrong with a change of a task that waits; `wish` has what changes, and the times with which that has to
    agree. `spec`: of its type, where that is registered."""
    faults: list[Fault] = []
    if wish.queue is not None:
        if caller.queues is not None and wish.queue not in caller.queues:
            return [_not_allowed(wish.queue, "")]
        _check_queue(wish.queue, None if spec is None else spec.queue, caller, served, "", faults)
    _check_times(wish, "", faults, now)
    return faults


def _check_queue(
    queue: str, usual: str | None, caller: Caller, served: Served, prefix: str, faults: list[Fault]
) -> None:
    if served.known is not None and queue not in served.known:
        faults.append(unknown_queue(queue, prefix))
    elif served.by_type and queue != usual and queue not in served.by_type:
        on = ", ".join(served.told_to(caller.queues)) or message("none of yours")
        told = message("No worker runs this task type on this queue. These queues serve it: {queues}.", queues=on)
        faults.append(Fault(f"{prefix}/queue", told, QUEUE_NOT_SERVED))


def _not_allowed(queue: str, prefix: str) -> Fault:
    told = message("This caller may not submit to the queue {queue}.", queue=repr(queue[:64]))
    return Fault(f"{prefix}/queue", told, QUEUE_NOT_ALLOWED)


def _check_times(wish: Wish, prefix: str, faults: list[Fault], now: datetime) -> None:
    due = now
    if wish.run_at is not None:
        due = max(now, wish.run_at)
        if wish.delay_seconds is not None:
            faults.append(Fault(f"{prefix}/run_at", message("Give run_at or delay_seconds, not both.")))
        if wish.run_at - now > _LONGEST_DELAY:
            faults.append(Fault(f"{prefix}/run_at", message("Lies more than ten years ahead; ten years are the most.")))
        elif now - wish.run_at > _YEAR:
            told = message("Lies more than a year in the past. What is to run at once needs no run_at.")
            faults.append(Fault(f"{prefix}/run_at", told))
    elif wish.delay_seconds:
        due = now + timedelta(seconds=wish.delay_seconds)
    if wish.expires_at is not None:
        if wish.expires_at <= due:
            faults.append(Fault(f"{prefix}/expires_at", message("Must be later than now and than the time it is due.")))
        elif wish.expires_at - now > _LATEST_EXPIRY:
            faults.append(
                Fault(f"{prefix}/expires_at", message("Lies more than eleven years ahead; eleven years are the most."))
            )


def _limits(wish: Wish, spec: CompiledSpec, prefix: str, faults: list[Fault]) -> tuple[float, float]:
    if wish.soft_timeout_seconds is None and wish.hard_timeout_seconds is None:  # nearly always
        return min(spec.soft_seconds, spec.hard_seconds), spec.hard_seconds
    for name, given in (("soft", wish.soft_timeout_seconds), ("hard", wish.hard_timeout_seconds)):
        if given is not None and given < _SHORTEST:
            told = message("Must be {seconds} second or more.", seconds=f"{_SHORTEST:g}")
            faults.append(Fault(f"{prefix}/{name}_timeout_seconds", told))
    hard = spec.hard_seconds if wish.hard_timeout_seconds is None else wish.hard_timeout_seconds
    soft = wish.soft_timeout_seconds
    if soft is None:
        return min(spec.soft_seconds, hard), hard
    if soft > hard:
        told = message("Must not be above the hard limit, {seconds} seconds.", seconds=f"{hard:g}")
        faults.append(Fault(f"{prefix}/soft_timeout_seconds", told))
    return soft, hard
