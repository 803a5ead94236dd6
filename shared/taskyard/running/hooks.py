"""Hooks: a package's own code around runs and submits.

    class Spans(Hook):
        def before_run(self, run): ...
        def after_run(self, run, outcome): ...

They watch and change nothing: whatever a hook raises, the outcome of the run stays the same.
"""

from __future__ import annotations

import importlib
import inspect
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from ..domain.errors import Interrupt
from ..domain.tasks import Failed, Fault, Outcome, RetryIn, Succeeded
from ..lifecycle.submit import NewTask
from .views import Run, Submit, View

if TYPE_CHECKING:
    from prometheus_client import Counter

    from ..telemetry.metrics import Family, Metrics

__all__ = ["MOMENTS", "Hook", "Hooks", "Run", "Submit", "make", "name_of", "named"]

log = structlog.stdlib.get_logger(__name__)

SLOW_SECONDS = 1.0
# Between two log lines about errors of one hook at one moment: a broken hook fails in every run.
QUIET_SECONDS = 60.0
CHILD_ENDING_SECONDS = 3.0
_MAX_NAME = 200


class Hook:
    """The base of all hooks. Override what you need; the methods are plain functions, and do nothing here.

    | method          | Celery's signal                              |
    | --------------- | -------------------------------------------- |
    | `before_run`    | `task_prerun`                                |
    | `after_run`     | `task_postrun`; `task_success` where the     |
    |                 | outcome is `Succeeded`                       |
    | `on_retry`      | `task_retry`                                 |
    | `on_failure`    | `task_failure`                               |
    | `before_submit` | `before_task_publish`                        |
    | `after_submit`  | `after_task_publish`                         |
    | `child_ending`  | `worker_process_shutdown`                    |

    The methods around a run are called in its thread, or on the event loop of `async def` tasks. No time limit and no
    cancellation is raised into them. One object serves all runs of a process, so it must be safe in several threads.

    There is no `child_starting`: the hook is made in each child, so that its constructor is called then.

    An attempt that ends with its process (a crash, the hard time limit) has no `on_failure` and no `after_run`.
    """

    def before_run(self, run: Run) -> None:
        """Before the parameters are read and the function is called."""

    def after_run(self, run: Run, outcome: Outcome) -> None:
        """After every run, and after `on_retry` or `on_failure`; the outcome is on its way into the ledger."""

    def on_retry(self, run: Run, fault: Fault, delay: timedelta) -> None:
        """The attempt failed; another one follows after `delay`."""

    def on_failure(self, run: Run, fault: Fault) -> None:
        """The attempt failed, and none follows."""

    def before_submit(self, task: Submit) -> None:
        """The task was admitted and is about to be stored."""

    def after_submit(self, task: Submit) -> None:
        """The task is stored."""

    def child_ending(self) -> None:
        """A child process of a worker has finished its last task, and ends: close here what the kit's tasks opened. The
        event loop of `async def` tasks still turns, in another thread. All hooks together have three seconds. A process
        that is killed does not call it."""


MOMENTS = ("before_run", "after_run", "on_retry", "on_failure", "before_submit", "after_submit", "child_ending")

# The hook's name, the moment, and the method that was overridden.
_Call = tuple[str, str, Callable[..., None]]


class Hooks:
    """All hooks of a process. They nest: what comes first before a run or submit comes last after it.

    Raises TypeError for a hook that is no `Hook`, or has a method that is a coroutine function.
    """

    def __init__(self, hooks: Iterable[Hook] = (), metrics: Metrics | None = None) -> None:
        hooks = tuple(hooks)
        before = {moment: tuple(_calls(hooks, moment)) for moment in MOMENTS}
        after = {moment: tuple(reversed(calls)) for moment, calls in before.items()}
        self._before_run, self._after_run = before["before_run"], after["after_run"]
        self._on_retry, self._on_failure = after["on_retry"], after["on_failure"]
        self._before_submit, self._after_submit = before["before_submit"], after["after_submit"]
        self._child_ending = after["child_ending"]
        self.watch_begins = bool(self._before_run)
        """Whether any hook wants to hear of runs that begin."""
        self.watch_submits = bool(self._before_submit or self._after_submit)
        self._errors = _Errors([call for calls in before.values() for call in calls], metrics)

    def watch_end(self, outcome: Outcome) -> bool:
        """Whether any hook wants to hear of a run that ends so."""
        return bool(self._after_run) or (type(outcome) is not Succeeded and bool(self._on_retry or self._on_failure))

    def before_run(self, run: Run) -> None:
        self._call(self._before_run, run)

    def after_run(self, run: Run, outcome: Outcome) -> None:
        """Also `on_retry` and `on_failure`, before it."""
        match outcome:
            case RetryIn(fault, delay):
                self._call(self._on_retry, run, fault, delay)
            case Failed(fault):
                self._call(self._on_failure, run, fault)
        self._call(self._after_run, run, outcome)

    def child_ending(self, seconds: float = CHILD_ENDING_SECONDS) -> None:
        """Returns after so long at the latest: nothing keeps a process for ever."""
        if not self._child_ending:
            return
        thread = threading.Thread(target=self._call, args=[self._child_ending, None], name="child-ending", daemon=True)
        try:
            thread.start()
        except RuntimeError as e:  # no thread is left
            log.warning("hook_unfinished", moment="child_ending", error=str(e))
            return
        thread.join(seconds)
        if thread.is_alive():
            log.warning("hook_unfinished", moment="child_ending", seconds=seconds)

    # An interrupt that arrives in a submit is the running task's, not the hook's.

    def before_submit(self, tasks: Iterable[NewTask]) -> None:
        if self._before_submit:
            for task in tasks:
                self._call(self._before_submit, Submit(task), lets_through=Interrupt)

    def after_submit(self, tasks: Iterable[NewTask]) -> None:
        if self._after_submit:
            for task in tasks:
                self._call(self._after_submit, Submit(task), lets_through=Interrupt)

    def _call(
        self,
        calls: Sequence[_Call],
        view: View | None,
        *more: Any,
        lets_through: type[BaseException] | tuple[()] = (),
    ) -> None:
        arguments = () if view is None else (view, *more)
        for hook, moment, method in calls:
            began = time.monotonic()
            try:
                method(*arguments)
            except lets_through:
                raise
            except BaseException as e:  # noqa: BLE001 - a hook changes no outcome, whatever it raises
                self._errors.met(hook, moment, view, e)
            if (seconds := time.monotonic() - began) > SLOW_SECONDS:
                log.warning("hook_slow", hook=hook, moment=moment, seconds=round(seconds, 3), **_told(view))


class _Errors:
    """Counts the errors of hooks, and logs the first one of a hook and moment in a minute."""

    def __init__(self, calls: Sequence[_Call], metrics: Metrics | None) -> None:
        pairs = [(hook, moment) for hook, moment, _ in calls]
        self._logged_at = dict.fromkeys(pairs, float("-inf"))
        self._counts: Family[Counter] | None = None
        if metrics is not None:
            self._counts = metrics.counters(
                "hook_errors_total",
                "Errors that hooks raised; they changed no outcome.",
                {"hook": {hook for hook, _ in pairs}, "moment": MOMENTS},
                known=pairs,
            )

    def met(self, hook: str, moment: str, view: View | None, error: BaseException) -> None:
        if self._counts is not None:
            self._counts[hook, moment].inc()
        now = time.monotonic()
        if now - self._logged_at[hook, moment] < QUIET_SECONDS:
            return
        self._logged_at[hook, moment] = now
        log.error("hook_failed", hook=hook, moment=moment, **_told(view), error=type(error).__name__, exc_info=error)


def _told(view: View | None) -> dict[str, str]:
    return {} if view is None else {"task_id": str(view.task_id), "task_name": view.name}


def name_of(hook: Hook) -> str:
    """`module:Class`, as settings and manifests name it."""
    return f"{type(hook).__module__}:{type(hook).__qualname__}"[:_MAX_NAME]


def make(found: Iterable[tuple[str, object]]) -> tuple[Hook, ...]:
    """Hooks from what was found under these names: classes, which are called without arguments, or objects.

    Raises ValueError with one line that names the hook.
    """
    return tuple(_made(name, value) for name, value in found)


def named(places: Iterable[str]) -> tuple[Hook, ...]:
    """The hooks that TASKYARD_SUBMIT_HOOKS names, `module:Class` each.

    Raises ValueError with one line that names the setting.
    """
    try:
        return make((place, _found(place)) for place in places)
    except ValueError as e:
        raise ValueError(f"TASKYARD_SUBMIT_HOOKS: {e}") from e


def _found(place: str) -> object:
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as e:  # a user's package may raise anything at its import
        raise ValueError(f"the hook {place}: {type(e).__name__}: {' '.join(str(e).split())}") from e


def _made(name: str, value: object) -> Hook:
    try:
        hook: Any = value() if isinstance(value, type) else value
        Hooks([hook])  # it is checked there
    except Exception as e:  # a class of a user's package may raise anything
        raise ValueError(f"the hook {name}: {type(e).__name__}: {' '.join(str(e).split())}") from e
    made: Hook = hook
    return made


def _calls(hooks: Iterable[Hook], moment: str) -> Iterable[_Call]:
    for hook in hooks:
        if not isinstance(hook, Hook):
            raise TypeError(f"{hook!r:.100} does not derive from taskyard.Hook")
        method = getattr(hook, moment)
        if getattr(method, "__func__", method) is getattr(Hook, moment):
            continue
        if inspect.iscoroutinefunction(method):
            raise TypeError(f"{moment} is `async def`; the methods of a hook are plain functions")
        yield name_of(hook), moment, method
