"""The API's own metrics. Label values come from registries only: route templates, task types, queues, scopes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager

from taskyard.telemetry.metrics import HTTP_SECONDS, OTHER, GrowingLabel, Metrics

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SUCCESSES = (200, 201, 202, 204, 206, 304)
_REFUSALS = (400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 416, 422, 429, 500, 503)
CODES = tuple(map(str, (*_SUCCESSES, *_REFUSALS)))
AUTH_FAILURES = ("missing_key", "invalid_key", "revoked_key", "expired_key")
RESULTS = ("accepted", "refused", "unavailable")
_MAX_QUEUES = 100


class RequestMeters:
    """Metrics of all requests. `routes` are the statuses by (method, template); their series exist from the start, at
    0."""

    def __init__(
        self, metrics: Metrics, *, routes: Mapping[tuple[str, str], Collection[int]], scopes: Iterable[str]
    ) -> None:
        templates = sorted({template for _, template in routes})
        self._requests = metrics.counters(
            "http_requests_total",
            "Requests that were answered.",
            {"method": METHODS, "route": templates, "code": CODES},
            known=[(*route, str(code)) for route, codes in routes.items() for code in sorted(codes)],
        )
        self._duration = metrics.histograms(
            "http_request_duration_seconds",
            "From the request's head to its answer's.",
            {"method": METHODS, "route": templates},
            buckets=HTTP_SECONDS,
            known=routes,
        )
        self.in_progress = 0
        """Requests that are being answered: a number, because setting a gauge twice a request would cost more."""
        in_progress = metrics.gauge("http_requests_in_progress", "Requests that are being answered.", mode="livesum")
        metrics.on_refresh(lambda: in_progress.set(self.in_progress))
        self.auth_failures = metrics.counters(
            "auth_failures_total", "Requests without a good key.", {"reason": AUTH_FAILURES}
        )
        self.rate_limited = metrics.counters(
            "rate_limited_total",
            "Requests over their key's rate, by the scope of the call.",
            {"scope": [str(scope) for scope in scopes]},
        )
        self.sse_clients = metrics.gauge("sse_clients", "Clients that follow events live.", mode="livesum")

    def answered(self, method: str, route: str | None, code: int, seconds: float) -> None:
        where = route or OTHER
        self._requests[method, where, _CODES.get(code, OTHER)].inc()
        self._duration[method, where].observe(seconds)


class SubmitMeters:
    """Metrics of submits. Task types and their queues get series of their own, at 0, as they are registered
    (`GrowingLabel`). `timed` is entered around each transaction of submits."""

    def __init__(
        self, metrics: Metrics, timed: Callable[[], AbstractContextManager[object]], *, queues: Iterable[str]
    ) -> None:
        self.timed = timed
        self._usual_queues: dict[str, str] = {}
        self._names = GrowingLabel()
        self._queues = GrowingLabel(_MAX_QUEUES)
        for queue in queues:
            self._queues.add(queue)
        self._submitted = metrics.counters(
            "tasks_submitted_total",
            "Tasks callers asked for, by what came of it.",
            {"queue": self._queues, "task": self._names, "result": RESULTS},
            known=(),
        )

    def know(self, usual_queues: Mapping[str, str]) -> None:
        """The registered types with their queues. Those that are unknown here keep counting as `_other` once the
        ceiling is reached."""
        for name, queue in sorted(usual_queues.items()):
            if self._names.add(name) and self._queues.add(queue) and self._usual_queues.get(name) != queue:
                self._usual_queues[name] = queue
                self._submitted.know((queue, name, result) for result in RESULTS)

    def count(self, queue: str, name: str, result: str, number: int = 1) -> None:
        """So many submits; `result` is one of RESULTS."""
        self._submitted[queue, name, result].inc(number)

    def refused(self, wanted: object) -> None:
        """Counts a submit that was refused, as it was sent: it may be anything."""
        given = wanted if isinstance(wanted, dict) else {}
        name, queue = given.get("name"), given.get("queue")
        if not isinstance(name, str):
            name = OTHER
        if not isinstance(queue, str):
            queue = self._usual_queues.get(name, OTHER)
        self.count(queue, name, "refused")


_CODES = {int(code): code for code in CODES}
