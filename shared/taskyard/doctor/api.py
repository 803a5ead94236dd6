"""The API as the doctor asks it: each answer with its status and its time, none of them repeated."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import orjson

from taskyard_client.address import options_of

_OF_THE_LEDGER = frozenset({"ledger_unavailable", "not_migrated"})


class Away(Exception):
    """No answer of an API; the message is one line for people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`call`: what was asked, as `GET /health/live`. `body` is empty where it is not the API's JSON: a proxy's page."""

    status: int
    body: Mapping[str, Any]
    seconds: float
    date: datetime | None
    call: str = ""

    @property
    def is_fine(self) -> bool:
        return 200 <= self.status < 300 and bool(self.body)

    @property
    def blames_ledger(self) -> bool:
        return self.code in _OF_THE_LEDGER

    @property
    def code(self) -> str:
        return str(self.body.get("code") or "")

    @property
    def says(self) -> str:
        """What became of the call, where it is not fine."""
        said = f"the API answered {self.status} to {self.call}"
        if not self.body:
            return f"{said}, and not like Taskyard's API"
        return f"{said}: {self.detail}" if self.detail else said

    @property
    def detail(self) -> str:
        return str(self.body.get("detail") or "").rstrip(".")

    @property
    def do(self) -> str:
        """What a person does about an answer that is not fine."""
        if self.blames_ledger:
            return (
                "Look at PostgreSQL, and at `taskyard-api check` beside the API; `taskyard-api migrate` makes tables."
            )
        if self.status == 429:
            return "Wait and run it again: the key's rate (TASKYARD_RATE_LIMIT_PER_SECOND) or a proxy's is used up."
        if self.status >= 500:
            return "Look at the API's log for this call, and at the log of the proxy before it."
        return "Check that TASKYARD_URL leads to the API, and that the API has the release of this command."

    @property
    def items(self) -> list[dict[str, Any]]:
        return list(self.body.get("items") or [])


class Refused(Exception):
    """The API answered, but not with what was asked for; the message is one line for people."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.says)
        self.answer = answer


class Api:
    def __init__(self, url: str, key: str | None, *, seconds: float) -> None:
        """Raises ValueError for what is no address, and for what is no key."""
        self._client = httpx2.Client(
            **{**options_of(url, key), "base_url": url.rstrip("/")}, timeout=httpx2.Timeout(seconds, connect=5.0)
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, *, waits: float = 0.0, **query: Any) -> Answer:
        """`waits`: seconds that the API may take on top. Raises Away."""
        return self._send("GET", path, waits, params=query)

    def read(self, path: str, **query: Any) -> Answer:
        """What the doctor cannot do without. Raises Away and Refused."""
        answer = self.get(path, **query)
        if not answer.is_fine:
            raise Refused(answer)
        return answer

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        more = {} if body is None else {"json": body}
        return self._send("POST", path, 0.0, **more)

    @contextmanager
    def stream(self, path: str, **query: Any) -> Iterator[httpx2.Response]:
        with (
            _reached(self._client.base_url),
            self._client.stream("GET", path, params=query, headers={"Accept": "text/event-stream"}) as response,
        ):
            yield response

    def _send(self, method: str, path: str, waits: float, **more: Any) -> Answer:
        if waits:
            more["timeout"] = httpx2.Timeout((self._client.timeout.read or 5.0) + waits, connect=5.0)
        started = time.perf_counter()
        with _reached(self._client.base_url):
            response = self._client.request(method, path, **more)
        seconds = time.perf_counter() - started
        return answer_of(response, f"{method} {path}", seconds)


def answer_of(response: httpx2.Response, call: str, seconds: float) -> Answer:
    """Of one that has been read."""
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        body = None
    date = _date(response.headers.get("Date"))
    return Answer(response.status_code, body if isinstance(body, dict) else {}, seconds, date, call)


@contextmanager
def _reached(url: httpx2.URL) -> Iterator[None]:
    """Raises Away for whatever keeps an answer from coming."""
    try:
        yield
    except (httpx2.TransportError, httpx2.DecodingError) as e:
        raise Away(
            f"the API at {url.scheme}://{url.netloc.decode()} does not answer: {str(e) or type(e).__name__}"
        ) from e


def _date(header: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
