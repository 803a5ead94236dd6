"""The console's own metrics. Labels are the routes of the application, and fixed words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import falcon.asgi

from taskyard.telemetry.metrics import HTTP_SECONDS, OTHER, Metrics

from .calls import OUTCOMES, PageCalls, calls_of_page

# Why a sign-in was refused: what was given is not valid, or its sender has tried too often.
REFUSALS = ("key", "password", "link", "provider", "too_many")


class Meters:
    """`pages`: the routes; their series exist from the start, at 0."""

    def __init__(self, metrics: Metrics, *, pages: Iterable[str], live_pages: Callable[[], int]) -> None:
        self._pages = metrics.histograms(
            "console_page_seconds",
            "From a request's head to its answer's.",
            {"page": sorted(pages)},
            buckets=HTTP_SECONDS,
        )
        self._calls = metrics.histograms(
            "console_call_seconds",
            "From a call of the API to the head of its answer.",
            {"outcome": OUTCOMES},
            buckets=HTTP_SECONDS,
        )
        self.sign_ins_refused = metrics.counters(
            "console_sign_ins_refused_total", "Sign-ins that were refused, by what was given.", {"reason": REFUSALS}
        )
        live = metrics.gauge("console_live_pages", "Open pages that follow what happens.", mode="livesum")
        metrics.on_refresh(lambda: live.set(live_pages()))

    def shown(self, page: str | None, seconds: float) -> None:
        self._pages[page or OTHER].observe(seconds)

    def called(self, outcome: str, seconds: float) -> None:
        self._calls[outcome].observe(seconds)


class MeasuredPages:
    """Falcon middleware, the outermost. `Server-Timing`, which browsers show beside each request, says what of a page's
    time its calls of the API took."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        req.context.started = time.perf_counter()
        req.context.calls = PageCalls()
        calls_of_page.set(req.context.calls)

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, req_succeeded: bool
    ) -> None:
        seconds, calls = time.perf_counter() - req.context.started, req.context.calls
        self._meters.shown(req.uri_template, seconds)
        api = f'api;dur={calls.seconds * 1e3:.1f};desc="{calls.count}"'
        resp.set_header("Server-Timing", f"{api}, page;dur={seconds * 1e3:.1f}")
