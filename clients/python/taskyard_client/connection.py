"""One API, reached by threads: calls with their repeats, streams, downloads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel

from . import calls
from .calls import Call
from .errors import ApiAway, ApiRefused
from .following import Reader
from .retries import Attempts, Clock, Retries
from .tracing import passed_on
from .transfers import Download, Upload

A = TypeVar("A", bound=BaseModel)
E = TypeVar("E")


class Connection:
    """`options`: what httpx2's client takes. After a fork it opens connections of its own."""

    def __init__(self, options: dict[str, Any], retries: Retries, clock: Clock, sleep: Callable[[float], None]) -> None:
        self._options = options
        self.retries = retries
        self.clock = clock
        self.sleep = sleep
        self._made = os.getpid(), httpx2.Client(**options)

    def close(self) -> None:
        self._made[1].close()

    def send(self, call: Call[A]) -> A:
        """One call with its repeats. Raises ApiAway, ApiRefused."""
        attempts = self.attempts(call.seconds, waits=call.waits)
        while True:
            try:
                return self.attempt(call, attempts.left, number=attempts.failures + 1)
            except (ApiAway, ApiRefused) as e:
                pause = attempts.pause_after(e, is_safe=call.is_safe)
            self.sleep(pause)

    def attempt(self, call: Call[A], left: float | None = None, *, number: int = 1) -> A:
        """One call without repeats, which takes `left` seconds at most."""
        left = self.retries.seconds + call.waits if left is None else left
        deadline = self.clock() + left
        content = call.body.chunks() if isinstance(call.body, Upload) else call.body
        more = {"params": call.query, "headers": call.headers, "content": content, "timeout": call.timeout(left)}
        with self._open(call.method, call.path, **more) as response:
            return calls.read(call, response, self._content(response, deadline), number)

    def stream(
        self,
        path: str,
        reader: Reader[E],
        query: Mapping[str, Any] | None = None,
        silence: float = calls.SILENCE_SECONDS,
    ) -> Iterator[E]:
        """What `reader` makes of each line of a stream of events."""
        timeout = httpx2.Timeout(silence, connect=calls.CONNECT_SECONDS)
        with self._open("GET", path, params=query or {}, headers=reader.headers(), timeout=timeout) as response:
            if not response.is_success:
                raise calls.refused(response, self._content(response, self.clock() + calls.READ_SECONDS))
            reader.connected()
            for text in response.iter_text():
                yield from reader.heard(text)

    def fetch(self, path: str, download: Download) -> None:
        """What is missing of the download, in one request."""
        timeout = httpx2.Timeout(calls.READ_SECONDS, connect=calls.CONNECT_SECONDS)
        with self._open("GET", path, headers=download.headers(), timeout=timeout) as response:
            if not response.is_success:
                raise calls.refused(response, self._content(response, self.clock() + calls.READ_SECONDS))
            download.begin(resumed=response.status_code == 206)
            for piece in response.iter_bytes():
                download.write(piece)

    def attempts(self, seconds: float | None = None, *, waits: float = 0.0) -> Attempts:
        """`waits`: seconds beside the usual ones."""
        return Attempts(self.retries, self.clock, (self.retries.seconds if seconds is None else seconds) + waits)

    @contextmanager
    def _open(self, method: str, path: str, *, headers: Any, **more: Any) -> Iterator[httpx2.Response]:
        http = self._of_this_process()
        try:
            with http.stream(method, http.base_url.join(path), headers={**headers, **passed_on()}, **more) as response:
                yield response
        except (httpx2.TransportError, httpx2.DecodingError) as e:
            raise calls.lost(http.base_url, e) from e

    def _content(self, response: httpx2.Response, deadline: float) -> bytes:
        """Raises ApiAway where it comes too slowly."""
        pieces = []
        for piece in response.iter_bytes():
            pieces.append(piece)
            if self.clock() > deadline:
                raise ApiAway("The API did not finish its answer in time.")
        return b"".join(pieces)

    def _of_this_process(self) -> httpx2.Client:
        """A process that was forked must not talk on the connections of the other one."""
        pid, made = self._made
        if pid != os.getpid():
            made = httpx2.Client(**self._options)
            # At one stroke: another thread must not find the new process beside the old connections.
            self._made = os.getpid(), made
        return made
