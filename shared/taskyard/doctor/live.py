"""Live events: whether they arrive here, and not only in the API."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from contextlib import suppress

import httpx2
import orjson

from taskyard_client.following import Events

from .api import Answer, Api, Away, answer_of
from .findings import Finding, Verdict, refused, timed

_OPEN_SECONDS = 5.0
_TOLD_SECONDS = 2.0
_STEP = "live events"


class LiveEvents:
    """Follows `GET /events` in a thread, which ends with the connections of `api`."""

    def __init__(self, api: Api, task_type: str) -> None:
        self._api = api
        self._type = task_type
        self._opened = threading.Event()
        self._told = threading.Condition()
        self._ended: set[str] = set()
        self._refused: Answer | None = None
        self._seconds = 0.0
        self._thread = threading.Thread(target=self._follow, name="live-events", daemon=True)

    def start(self) -> None:
        """Returns once events pass, or after some seconds: an echo that is sent then is told."""
        self._thread.start()
        self._opened.wait(_OPEN_SECONDS)

    def finding(self, succeeded: Collection[str], *, slow_after: float) -> Finding:
        """`succeeded`: the ids of the echoes whose end has to have been told."""
        if self._refused is not None:
            return refused(_STEP, self._refused)
        if not self._opened.is_set():
            says = f"nothing came within {_OPEN_SECONDS:g} s: something on the way keeps events back"
            do = "Turn response buffering off in the proxy for `text/event-stream`. `?wait=` works meanwhile."
            return Finding(_STEP, Verdict.WARN, says, do=do)
        with self._told:
            heard = self._told.wait_for(lambda: self._ended.issuperset(succeeded), _TOLD_SECONDS)
        if heard:
            says = "arrive" if succeeded else "the stream opens"
            return timed(_STEP, says, self._seconds, slow_after=slow_after)
        says = "the stream opens, but the end of an echo was not told: the API hears nothing from Redis"
        return Finding(_STEP, Verdict.WARN, says, do="Look at Redis and at the API's log.", runbook="TaskyardRedisDown")

    def _follow(self) -> None:
        started = time.perf_counter()
        # It ends when the connections are closed, in any way that httpx2 knows.
        with (
            suppress(Away, httpx2.HTTPError, httpx2.StreamError, RuntimeError, OSError),
            self._api.stream("/api/v1/events", name=self._type) as response,
        ):
            if response.status_code != 200:
                response.read()
                self._refused = answer_of(response, "GET /api/v1/events", time.perf_counter() - started)
                self._opened.set()
                return
            events = Events()
            for text in response.iter_text():
                if not self._opened.is_set():
                    self._seconds = time.perf_counter() - started
                    self._opened.set()
                for line in events.lines(text):
                    if (found := events.line(line)) is not None:
                        self._heard(found[0])

    def _heard(self, data: str) -> None:
        change = orjson.loads(data)
        if change.get("state") == "succeeded":
            with self._told:
                self._ended.add(str(change["task_id"]))
                self._told.notify_all()
