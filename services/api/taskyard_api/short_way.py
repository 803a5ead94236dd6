"""The short way of ordinary submits: from the connection to the collector, without a request object.

Ordinary is one task, in one segment, with a head that was met before and a key that was looked up a moment ago, and
without anything to wait for but the commit. That is nearly every submit, at half the processor time
(docs/decisions/0053). All others, and all that are to be refused, go through the application: what the short way leaves
to it has done nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from structlog.contextvars import bound_contextvars

from taskyard.admission.bodies import SubmitTask
from taskyard.lifecycle.submit import NewTask, SubmittedTask

from . import views
from .admission import Admission
from .alike import Alike
from .auth import Keys, Scope
from .bodies import Bodies, Body
from .known_heads import PATH, Head, KnownHeads
from .limits import RateLimit
from .meters import RequestMeters
from .patience import REQUEST_SECONDS, too_late
from .problems import MEDIA_TYPE, Problems
from .request_counts import RequestCounts
from .requests import RequestContext
from .submission import Submission
from .views import TaskViews

if TYPE_CHECKING:
    from .short_protocol import ShortProtocol

_METHOD = "POST"


class UnderWay:
    """A submit on the short way. The connection takes it for uvicorn's cycle; to the collector it is the future of its
    answer."""

    __slots__ = ("context", "deadline", "disconnected", "head", "keep_alive", "response_complete", "tasks", "to", "way")

    # What uvicorn and the classes above it ask of a cycle.
    scope: dict[str, Any] = {}  # noqa: RUF012 - it only tells that the head was read
    more_body = False
    response_started = False
    chunked_encoding = False

    def __init__(self, way: ShortWay, to: ShortProtocol, head: Head, context: RequestContext) -> None:
        self.way = way
        self.to = to
        self.head = head
        self.context = context
        self.tasks: Sequence[NewTask] = ()
        self.deadline = 0.0
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False

    @property
    def message_event(self) -> UnderWay:
        return self

    def set(self) -> None:
        """Nothing waits for more of this request."""

    def done(self) -> bool:
        return self.response_complete

    def set_result(self, written: Sequence[SubmittedTask]) -> None:
        try:
            self.way.accepted(self, written)
        except Exception as e:  # noqa: BLE001 - the others of the same transaction are to be answered
            if not self.response_complete:
                self.way.failed(self, e)

    def set_exception(self, error: BaseException) -> None:
        self.way.refused(self, error)


class ShortWay:
    def __init__(
        self,
        *,
        keys: Keys,
        rate: RateLimit,
        bodies: Bodies,
        admission: Admission,
        alike: Alike,
        submission: Submission,
        shown: TaskViews,
        meters: RequestMeters,
        counts: RequestCounts,
        problems: Problems,
    ) -> None:
        self._heads = KnownHeads()
        self._keys = keys
        self._rate = rate
        self._bodies = bodies
        self._admission = admission
        self._alike = alike
        self._submission = submission
        self._shown = shown
        self._meters = meters
        self._counts = counts
        self._problems = problems
        self._under_way: dict[UnderWay, None] = {}  # as they began, and so by their deadlines
        self._timer: asyncio.TimerHandle | None = None
        self._common: tuple[list[tuple[bytes, bytes]], bytes] = [], b""

    def common_headers(self, given: list[tuple[bytes, bytes]]) -> bytes:
        """As they are sent. uvicorn makes a new list every second."""
        if given is not self._common[0]:
            self._common = given, b"".join([b"%b: %b\r\n" % header for header in given])
        return self._common[1]

    def learn(self, segment: bytes, cycle: Any) -> None:
        """Takes the next request with the same head, after one that the application got. Of good keys only: strangers
        would fill the memory."""
        found = self._heads.read(segment, cycle)
        if found is not None and self._keys.good(found[1].prefix, found[1].digest) is not None:
            self._heads.learn(*found)

    def begin(self, segment: bytes, to: ShortProtocol) -> UnderWay | None:
        """Begins an ordinary submit. None where the application is to see the request."""
        found = self._heads.find(segment)
        if found is None:
            return None
        head, body = found
        caller = self._keys.good(head.prefix, head.digest)
        if caller is None or not caller.has(Scope.SUBMIT) or self._rate.take(caller.key_id) > 0:
            return None
        context = RequestContext()
        context.begin(caller)
        submit = UnderWay(self, to, head, context)
        with suppress(Exception):  # the application meets it again, and answers and logs it
            if self._is_begun(submit, body):
                return submit
        context.leave()
        self._rate.give_back(caller.key_id)
        return None

    def _is_begun(self, submit: UnderWay, raw: bytes) -> bool:
        """Raises what makes the application refuse the request, or fail."""
        context = submit.context
        body = self._bodies.read_at_once(context, raw)
        if body is None:
            return False
        tasks = self._alike.tasks([body.value], context, body.size) or self._admitted(body, context)
        if tasks is None:
            return False
        submit.tasks = tasks
        self._submission.put(submit.tasks, submit)
        self._meters.in_progress += 1
        submit.deadline = context.started + REQUEST_SECONDS
        self._under_way[submit] = None
        if self._timer is None:
            self._timer = submit.to.loop.call_later(REQUEST_SECONDS, self._give_up)
        return True

    def _admitted(self, body: Body, context: RequestContext) -> Sequence[NewTask] | None:
        """The task, where it says more than a name and parameters. Raises as `_is_begun`."""
        wanted = SubmitTask.model_validate(body.value)
        if wanted.id is not None or wanted.unique is not None:
            return None
        admitted = self._admission.admit_at_once([wanted], context, body.size)
        return None if admitted is None or admitted.warnings else admitted.tasks

    def accepted(self, submit: UnderWay, written: Sequence[SubmittedTask]) -> None:
        self._submission.count(submit.tasks, None)
        context, task = submit.context, submit.tasks[0]
        body = views.encode(self._shown.of_new(task, written[0], context.caller))
        self._answer(submit, 202, f"content-type: application/json\r\nlocation: {PATH}/{task.id}\r\n", body)

    def refused(self, submit: UnderWay, error: BaseException) -> None:
        self._submission.count(submit.tasks, error)
        self.failed(submit, error)

    def failed(self, submit: UnderWay, error: BaseException) -> None:
        context = submit.context
        with bound_contextvars(request_id=context.request_id, trace_id=context.traceparent[3:35]):
            problem = self._problems.met(error, method=_METHOD, path=PATH, route=PATH)
        body, language = self._problems.document(problem, context.request_id, submit.head.language)
        headers = {"content-type": MEDIA_TYPE, "content-language": language, "vary": "Accept-Language"}
        lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in (headers | problem.headers).items())
        self._answer(submit, problem.status, lines, body)

    def _answer(self, submit: UnderWay, status: int, lines: str, body: bytes) -> None:
        context = submit.context
        rest = f"content-length: {len(body)}\r\nx-request-id: {context.request_id}\r\n"
        head = f"{lines}{rest}traceparent: {context.traceparent}\r\n".encode()
        del self._under_way[submit]
        context.leave()
        self._meters.in_progress -= 1
        seconds = time.perf_counter() - context.started
        self._meters.answered(_METHOD, PATH, status, seconds)
        self._counts.count(_METHOD, PATH, status, seconds)
        submit.to.answer(submit, status, head, body)

    def _give_up(self) -> None:
        """Answers those whose time is over; one timer serves all."""
        self._timer = None
        now = time.perf_counter()
        for submit in [submit for submit in self._under_way if submit.deadline <= now]:
            self.refused(submit, too_late())
        first = next(iter(self._under_way), None)
        if first is not None:
            self._timer = first.to.loop.call_later(max(0.0, first.deadline - now), self._give_up)
