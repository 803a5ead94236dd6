"""A small HTTP client of the API, for the `taskyard` command."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

import httpx
import orjson

from .backoff import spread
from .version import __version__

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
# Heartbeats come every 15 s: after three missing ones the connection is dead.
_SILENCE_SECONDS = 45.0
_PATIENCE_SECONDS = 60.0
_AGAIN_SECONDS = 0.75
# A proxy named by the environment does not reach this machine's own addresses.
_NO_PROXY: dict[str, httpx.BaseTransport | None] = {
    f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")
}


class ApiAway(Exception):
    """The API does not answer, or is unavailable."""


class ApiRefused(Exception):
    """The API refused the call; `problem` is its problem document (RFC 9457)."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "refused"))
        self.problem = problem

    def lines(self) -> Iterator[str]:
        """What is wrong, and where, for people."""
        code = self.problem.get("code")
        yield f"{self} ({code})" if code else str(self)
        for error in self.problem.get("errors", ()):
            yield f"  {error.get('pointer') or '/'}: {error.get('message')}"
        if self.problem.get("support_url"):
            yield f"Help: {self.problem['support_url']}"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """A server-sent event that is not a heartbeat."""

    kind: str
    data: dict[str, Any]
    id: str | None = None


class Client:
    """Calls of the API at `url`. Every method raises ApiAway and ApiRefused."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"User-Agent": f"taskyard/{__version__}"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1/", headers=headers, timeout=_TIMEOUT, mounts=_NO_PROXY
        )

    def close(self) -> None:
        self._http.close()

    def submit(self, task: dict[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._call("POST", "tasks", json=task, headers=headers)

    def task(self, task_id: UUID, *, wait_seconds: float = 0) -> dict[str, Any]:
        timeout = httpx.Timeout(30.0 + wait_seconds, connect=5.0)
        return self._call("GET", f"tasks/{task_id}", params={"wait": wait_seconds}, timeout=timeout)

    def cancel(self, task_id: UUID) -> dict[str, Any]:
        return self._call("POST", f"tasks/{task_id}/cancel")

    def retry(self, task_id: UUID) -> dict[str, Any]:
        return self._call("POST", f"tasks/{task_id}/retry")

    def follow(self, task_id: UUID) -> Iterator[ServerEvent]:
        """The task's timeline until its final event; a broken connection is resumed where it ended."""
        last: str | None = None
        is_final = False
        away_since: float | None = None
        while True:
            try:
                for event in self._stream(f"tasks/{task_id}/events", last):
                    away_since = None
                    if event is not None:
                        last = event.id or last
                        yield event
                if is_final:
                    return
                # A stopping server closes its streams, too. Once the task is final, one more read brings the rest.
                is_final = self.task(task_id)["finished_at"] is not None
            except ApiAway:
                now = time.monotonic()
                away_since = now if away_since is None else away_since
                if now - away_since > _PATIENCE_SECONDS:
                    raise
            if away_since is not None or not is_final:
                time.sleep(spread(_AGAIN_SECONDS))  # apart from the other clients that lost their stream

    def _stream(self, path: str, last: str | None) -> Iterator[ServerEvent | None]:
        """None once the server has answered, then the events."""
        headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
        timeout = httpx.Timeout(_SILENCE_SECONDS, connect=5.0)
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                    _refuse(response)
                yield None
                yield from parse_events(lines_of(response.iter_text()))
        except httpx.TransportError as e:
            raise ApiAway(_words(self._http, e)) from e

    def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **more)
        except httpx.TransportError as e:
            raise ApiAway(_words(self._http, e)) from e
        if response.is_error:
            _refuse(response)
        found = _json(response)
        if found is None:
            raise ApiAway(f"{self._http.base_url} does not answer like Taskyard's API")
        return found


def lines_of(pieces: Iterator[str]) -> Iterator[str]:
    """Lines as server-sent events have them. httpx's own end at form feeds and at U+2028, too, which may stand in what
    a task says."""
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        for line in whole:
            yield line.removesuffix("\r")


def parse_events(lines: Iterator[str]) -> Iterator[ServerEvent]:
    """Server-sent events out of their lines (HTML Living Standard, section 9.2.6)."""
    kind, data, event_id = "message", list[str](), None
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(kind, orjson.loads("\n".join(data)), event_id)
            kind, data, event_id = "message", [], None
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id":
                event_id = value


def _words(http: httpx.Client, error: httpx.TransportError) -> str:
    return f"The API at {http.base_url.scheme}://{http.base_url.netloc.decode()} does not answer: {error}"


def _json(response: httpx.Response) -> dict[str, Any] | None:
    try:
        found = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _refuse(response: httpx.Response) -> NoReturn:
    problem = _json(response) or {"detail": f"The API answered {response.status_code}."}
    if response.status_code in {502, 503, 504}:
        raise ApiAway(str(problem.get("detail")))
    raise ApiRefused(problem)
