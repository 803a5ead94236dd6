"""The caller's side of Celery, for applications that come from it: `delay`, `apply_async`, `send_task`, `AsyncResult`.

    from taskyard_client import Client
    from taskyard_client.celery import Celery

    app = Celery(client=Client(url, key))
    write_invoice = app.task("billing.invoice")
    write_invoice.delay("ada", amount=3).get(timeout=60)

The tasks themselves are Taskyard's, in a worker. docs/celery.md tells what differs. What has no counterpart raises,
rather than to be ignored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

from .celery_results import AsyncResult, Eager, make_current
from .client import Client
from .options import encoded
from .type_models import TaskType

__all__ = ["AsyncResult", "Celery", "Task", "lanes"]

_LANES = ("high_priority", "default", "low_priority")
# How long the order of a type's parameters is kept: workers may bring another version.
_KEPT_SECONDS = 60.0
# Of apply_async: what they ask for, every submit has.
_NEEDLESS = frozenset({"retry", "retry_policy", "serializer", "compression", "ignore_result", "connection", "producer"})

Delay = float | timedelta
Result = AsyncResult  # in classes that have a method of the name


def lanes(*, first: int) -> dict[int, str]:
    """The priorities 0 to 9 on the queues `high_priority`, `default` and `low_priority`. `first` is the most urgent:
    0 as Celery has it on Redis, 9 as on RabbitMQ."""
    if first not in {0, 9}:
        raise ValueError(f"the most urgent priority is 0 (Redis) or 9 (RabbitMQ), not {first}")
    urgent = range(10) if first == 0 else range(9, -1, -1)
    return dict(zip(urgent, [_LANES[0]] * 3 + [_LANES[1]] * 4 + [_LANES[2]] * 3, strict=True))


@dataclass(slots=True)
class Conf:
    """`task_always_eager`: tasks run at once in this process, for tests without servers; `task_eager_propagates`: their
    errors are raised there."""

    task_always_eager: bool = False
    task_eager_propagates: bool = False

    def update(self, **settings: bool) -> None:
        for name, value in settings.items():
            setattr(self, name, value)


class Control:
    """`app.control.revoke(...)`."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def revoke(self, task_id: str | UUID | Sequence[str | UUID], terminate: bool = False) -> None:
        for one in [task_id] if isinstance(task_id, str | UUID) else task_id:
            self._app.AsyncResult(one).revoke(terminate=terminate)


class Celery:
    """`priorities`: the queue of each priority, as `lanes` gives them; without it, a priority is refused."""

    def __init__(
        self,
        main: str | None = None,
        *,
        client: Client,
        priorities: Mapping[int, str] | None = None,
        task_always_eager: bool = False,
    ) -> None:
        self.main = main
        self.client = client
        self.conf = Conf(task_always_eager)
        self.control = Control(self)
        self.eager = Eager()
        self._priorities = priorities
        self._types: dict[str, tuple[float, TaskType]] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        make_current(self)

    def task(self, name: str | Callable[..., Any] | None = None, *, queue: str | None = None) -> Task:
        """The task of this name, for `delay`. As a decorator, bare or with a name, it also has the function, which runs
        where the task is called. Eager, it also runs for others that name the task."""
        return Task(self, None, queue)(name) if callable(name) else Task(self, name, queue)

    def keep(self, name: str, function: Callable[..., Any]) -> None:
        """The function of a task of this name, for what runs eagerly. Of several the last one counts."""
        self._functions[name] = function

    def function_of(self, name: str) -> Callable[..., Any]:
        """Raises TypeError where there is none."""
        if (found := self._functions.get(name)) is None:
            raise TypeError(f"{name} has no function here that could run eagerly: decorate one with app.task({name!r})")
        return found

    def send_task(
        self, name: str, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Result:
        """A task by its name, with the options of `Task.apply_async`."""
        return Task(self, name).apply_async(args, kwargs, **options)

    def AsyncResult(self, task_id: str | UUID) -> Result:  # noqa: N802 - Celery's name
        return AsyncResult(task_id, app=self)

    def type_of(self, name: str) -> TaskType:
        until, kept = self._types.get(name, (0.0, None))
        if kept is None or time.monotonic() > until:
            kept = self.client.task_type(name)
            self._types[name] = time.monotonic() + _KEPT_SECONDS, kept
        return kept

    def lane(self, name: str, priority: int, queue: str | None) -> str:
        """The queue of a priority. Raises ValueError where there is none; eager, the type's own queue is not known."""
        if queue is not None:
            raise ValueError("a priority is a queue here: give one of both")
        if self._priorities is None:
            raise ValueError(
                "whether 0 or 9 is the most urgent depends on the broker: say Celery(priorities=lanes(first=0)), as on"
                " Redis, or lanes(first=9), as on RabbitMQ"
            )
        if priority not in self._priorities:
            raise ValueError(f"no queue has the priority {priority}; there are {sorted(self._priorities)}")
        if self.conf.task_always_eager:
            return self._priorities[priority]
        if (own := self.type_of(name).queue) not in self._priorities.values():
            raise ValueError(f"{name} runs on the queue {own}, which has no other of higher or lower priority")
        return self._priorities[priority]


class Task:
    """A task by its name."""

    def __init__(
        self, app: Celery, name: str | None, queue: str | None = None, function: Callable[..., Any] | None = None
    ) -> None:
        self._app = app
        self._name = name
        self._queue = queue
        self._function = function

    def __repr__(self) -> str:
        return f"<Task {self._name}>"

    @property
    def name(self) -> str:
        if self._name is None:
            raise TypeError("this task has no name: give app.task one, or decorate a function with it")
        return self._name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function here, as Celery does. Where there is none yet, this is the decorator that brings it."""
        if self._function is not None:
            return self._function(*args, **kwargs)
        if len(args) == 1 and callable(args[0]) and not kwargs:
            function = args[0]
            name = self._name or f"{function.__module__}.{function.__name__}"
            self._app.keep(name, function)
            return Task(self._app, name, self._queue, function)
        raise TypeError(f"{self.name} runs in a worker: call its delay or apply_async")

    def delay(self, *args: Any, **kwargs: Any) -> Result:
        return self.apply_async(args, kwargs)

    def AsyncResult(self, task_id: str | UUID) -> Result:  # noqa: N802 - Celery's name
        return AsyncResult(task_id, app=self._app)

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        countdown: Delay | None = None,
        eta: datetime | None = None,
        expires: Delay | datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        task_id: str | UUID | None = None,
        soft_time_limit: Delay | None = None,
        time_limit: Delay | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Result:
        """Submits the task. Positional arguments stand for the type's parameters in the order of their declaration,
        which a key with the scope `read` may ask for.

        `expires`: not ended by then, it fails. Times without a zone are in UTC. `task_id` is a UUID; one that is taken
        raises Conflict. Raises TypeError for options that Taskyard does not have, ValueError for what it cannot take.
        """
        if unknown := more.keys() - _NEEDLESS:
            raise TypeError(f"apply_async: Taskyard has no {min(unknown)!r}")
        # Text is a sequence, too: of ("ada") each letter would be an argument.
        if args is not None and not isinstance(args, list | tuple):
            raise TypeError(f"apply_async: args is a list or a tuple, not {type(args).__name__}")
        chosen = None if task_id is None else _uuid(task_id)
        own = queue if queue is not None else self._queue
        if priority is not None:
            own = self._app.lane(self.name, priority, own)
        if self._app.conf.task_always_eager:
            return self._run_eager(args or (), kwargs or {}, chosen or uuid4())
        task = self._app.client.submit(
            self.name,
            self._params(args or (), kwargs or {}),
            id=chosen,
            queue=own,
            delay_seconds=countdown,
            run_at=_aware(eta),
            expires_at=_moment(expires),
            soft_timeout_seconds=soft_time_limit,
            hard_timeout_seconds=time_limit,
            idempotency_key=idempotency_key,
        )
        return AsyncResult(task.id, app=self._app)

    def _params(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if not args:
            return dict(kwargs)
        names = list(self._app.type_of(self.name).params.get("properties", ()))
        if len(args) > len(names):
            raise TypeError(f"{self.name} takes {len(names)} arguments ({', '.join(names)}), and {len(args)} are given")
        given = dict(zip(names, args, strict=False))
        if twice := given.keys() & kwargs.keys():
            raise TypeError(f"{self.name} got multiple values for argument {min(twice)!r}")
        return {**given, **kwargs}

    def _run_eager(self, args: Sequence[Any], kwargs: Mapping[str, Any], task_id: UUID) -> Result:
        function = self._function or self._app.function_of(self.name)
        # What could not be sent fails in a test, too.
        sent, named = json.loads(encoded([args, kwargs]))
        propagate = self._app.conf.task_eager_propagates
        self._app.eager.run(task_id, self.name, function, sent, named, propagate=propagate)
        return AsyncResult(task_id, app=self._app)


def _uuid(task_id: str | UUID) -> UUID:
    try:
        return task_id if isinstance(task_id, UUID) else UUID(str(task_id))
    except ValueError:
        raise ValueError(
            f"task_id {task_id!r} is no UUID, as the ids of tasks are. Is it there so that a task is not submitted"
            " twice? Then give apply_async an idempotency_key: the same one again gets the first task."
        ) from None


def _aware(moment: datetime | None) -> datetime | None:
    if moment is None or moment.utcoffset() is not None:
        return moment
    return moment.replace(tzinfo=timezone.utc)


def _moment(expires: Delay | datetime | None) -> datetime | None:
    if expires is None or isinstance(expires, datetime):
        return _aware(expires)
    after = expires if isinstance(expires, timedelta) else timedelta(seconds=expires)
    return datetime.now(timezone.utc) + after
