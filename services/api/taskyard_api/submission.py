"""Submits: admitted, committed plain or with keys, published, and answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import falcon.asgi
from sqlalchemy import Engine

from taskyard.admission.bodies import SubmitTask
from taskyard.domain.errors import IdTaken, Overloaded, Refused
from taskyard.lifecycle.committed import commit
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.idempotency import IdempotencyKey, StoredAnswer
from taskyard.lifecycle.keyed import KeyedRequest, submit_keyed
from taskyard.lifecycle.submit import NewTask, SubmittedTask, submit_first
from taskyard.running.hooks import Hooks
from taskyard.store import ledger
from taskyard.store.reads import task_by_id
from taskyard.telemetry.exports import publishing

from . import views
from .admission import Admission, Admitted
from .alike import Alike
from .bodies import Body
from .collector import MAX_FLIGHTS, Answered, Collector
from .idempotency import answered_before, replay
from .ledger_pool import LedgerPool
from .meters import SubmitMeters
from .refusals import TaskExists
from .requests import Request
from .translation import Translations, Words
from .views import TaskViews

if TYPE_CHECKING:
    from taskyard.telemetry.spans import Tracer

Answer = Callable[[Sequence[SubmittedTask]], StoredAnswer]
_COLLECTORS = ("plain", "keyed")


class Submission:
    """Commits tasks together with those of other callers, then dispatches them. `submits` is the engine of plain
    submits, with one connection for each flight."""

    def __init__(
        self,
        engine: Engine,
        submits: Engine,
        dispatcher: Dispatcher,
        meters: SubmitMeters,
        hooks: Hooks,
        tracer: Tracer | None = None,
    ) -> None:
        self._engine = engine
        self._submits = submits
        self._dispatcher = dispatcher
        self._meters = meters
        self._hooks = hooks
        self._tracer = tracer
        # Their own threads, one for each flight: a flood of slow reads must not keep submits waiting.
        self._threads = ThreadPoolExecutor(len(_COLLECTORS) * MAX_FLIGHTS, thread_name_prefix="collector")
        self._plain: Collector[Sequence[NewTask], Sequence[SubmittedTask]] = Collector(
            self._write_plain, self._threads, name="plain"
        )
        self._keyed: Collector[KeyedRequest, StoredAnswer] = Collector(self._write_keyed, self._threads, name="keyed")

    async def submit(self, tasks: Sequence[NewTask]) -> Sequence[SubmittedTask]:
        """All of the tasks or none. Raises Overloaded, LedgerUnavailable."""
        self._hooks.before_submit(tasks)
        try:
            with publishing(self._tracer, tasks):
                written = await self._plain.submit(tasks, len(tasks))
        except Exception as e:
            self.count(tasks, e)
            raise
        self.count(tasks, None)
        self._hooks.after_submit(tasks)
        return written

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing around plain submits: `put` will do."""
        return self._tracer is None and not self._hooks.watch_submits

    def put(self, tasks: Sequence[NewTask], answer: Answered[Sequence[SubmittedTask]]) -> None:
        """`submit` without hooks and spans, for callers who count what came of it. Raises Overloaded."""
        self._plain.put(tasks, answer, len(tasks))

    async def submit_keyed(
        self, tasks: Sequence[NewTask], key: IdempotencyKey | None, answer: Answer, chosen: Sequence[UUID] = ()
    ) -> StoredAnswer:
        """The answer to this request, or the first answer where it is a repeat. `chosen` as in KeyedRequest.

        Raises NotUnique, IdTaken, KeyReused, AnswerPending, Overloaded, LedgerUnavailable.
        """
        self._hooks.before_submit(tasks)
        try:
            with publishing(self._tracer, tasks) as spans:
                given = await self._keyed.submit(KeyedRequest(tasks, answer, key, chosen), len(tasks))
                if given.replayed:
                    spans.forget()
        except Exception as e:
            self.count(tasks, e)
            raise
        if not given.replayed:
            self.count(tasks, None)
            self._hooks.after_submit(tasks)
        return given

    async def watched(self, tasks: Sequence[NewTask], write: Callable[[], Awaitable[None]]) -> None:
        """The same hooks and counts around tasks that `write` commits by itself: the steps of a workflow."""
        self._hooks.before_submit(tasks)
        try:
            with publishing(self._tracer, tasks):
                await write()
        except Exception as e:
            self.count(tasks, e)
            raise
        self.count(tasks, None)
        self._hooks.after_submit(tasks)

    async def close(self) -> None:
        await self._plain.close()
        await self._keyed.close()
        self._threads.shutdown(wait=True)

    def count_refused(self, wanted: Sequence[object]) -> None:
        """Counts submits, as they were sent, that were refused before they reached `submit`."""
        for one in wanted:
            self._meters.refused(one)

    def count(self, tasks: Sequence[NewTask], error: BaseException | None) -> None:
        """Counts the tasks of one submit by what came of it."""
        result = "accepted"
        if error is not None:
            refused = isinstance(error, Refused) and not isinstance(error, Overloaded)
            result = "refused" if refused else "unavailable"
        if len(tasks) == 1:
            self._meters.count(tasks[0].queue, tasks[0].name, result)
            return
        for (queue, name), number in Counter([(task.queue, task.name) for task in tasks]).items():
            self._meters.count(queue, name, result, number)

    # From here on in the collectors' threads.

    def _write_plain(self, units: Sequence[Sequence[NewTask]]) -> Sequence[Sequence[SubmittedTask]]:
        tasks = [task for unit in units for task in unit]
        run = partial(ledger.run, self._submits)
        with self._meters.timed():
            written = commit(run, partial(submit_first, tasks=tasks), self._dispatcher, name="submit")
        following = iter(written)
        return [[next(following) for _ in unit] for unit in units]

    def _write_keyed(self, requests: Sequence[KeyedRequest]) -> Sequence[StoredAnswer | Exception]:
        run = partial(ledger.run_transaction, self._engine)
        with self._meters.timed():
            answers: list[StoredAnswer | Refused] = commit(
                run, partial(submit_keyed, requests=requests), self._dispatcher, name="submit"
            )
        return answers


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a caller gets with the 202."""

    value: Any
    headers: dict[str, str]


class Intake:
    """What every submit over HTTP goes through."""

    def __init__(
        self,
        admission: Admission,
        alike: Alike,
        submission: Submission,
        ledger: LedgerPool,
        shown: TaskViews,
        translations: Translations,
    ) -> None:
        self._admission = admission
        self._alike = alike
        self._submission = submission
        self._ledger = ledger
        self._shown = shown
        self._translations = translations

    async def require_type(self, name: str) -> None:
        """Raises TypeNotRegistered."""
        await self._admission.require_type(name)

    async def take(
        self,
        req: Request,
        resp: falcon.asgi.Response,
        key: IdempotencyKey | None,
        *,
        validate: Callable[[], Awaitable[Sequence[SubmitTask]]],
        answer: Callable[[Admitted, Sequence[SubmittedTask], Words], Accepted],
        as_sent: Sequence[object],
        body: Body,
        in_batch: bool = False,
    ) -> None:
        """Validates, admits, commits and answers. A refused request whose key was answered before gets the first
        answer; otherwise the refusal is counted for `as_sent` and raised."""
        submits: Sequence[SubmitTask] = ()
        try:
            alike = self._alike.batch(body, req.context) if in_batch else None
            if alike is not None:
                admitted = Admitted(alike)
            else:
                submits = await validate()
                admitted = await self._admission.admit(submits, req.context, body, in_batch=in_batch)
        except Overloaded:
            raise  # no judgement on what was sent
        except Refused:
            if await answered_before(self._ledger, key, resp):
                return
            self._submission.count_refused(as_sent)
            raise
        tasks, words = admitted.tasks, self._translations.for_reader(req)
        chosen = [submit.id for submit in submits if submit.id is not None]
        if key is None and not chosen and all(task.unique is None for task in tasks):
            accepted = answer(admitted, await self._submission.submit(tasks), words)
            views.send(resp, 202, accepted.value)
            for name, content in (accepted.headers | words.headers()).items():
                resp.set_header(name, content)
            return

        def stored(written: Sequence[SubmittedTask]) -> StoredAnswer:
            accepted = answer(admitted, written, words)
            return StoredAnswer(202, accepted.headers | words.headers(), views.encode(accepted.value))

        # By a key of its own a request with chosen ids knows its tasks after a commit whose answer got lost.
        own = IdempotencyKey(req.context.caller.key_id, f"id:{uuid4()}", b"") if chosen and key is None else key
        try:
            given = await self._submission.submit_keyed(tasks, own, stored, chosen)
        except IdTaken as e:
            raise await self._with_the_task(e, req) from e
        replay(resp, given if own is key else replace(given, replayed=False))

    async def _with_the_task(self, error: IdTaken, req: Request) -> TaskExists:
        caller = req.context.caller
        read = partial(task_by_id, task_id=error.task_id, queues=caller.queues)
        row = await self._ledger.run(read)
        words = self._translations.for_reader(req)
        return TaskExists(error.message, None if row is None else self._shown.of_row(row, caller, words))
