"""How a call is repeated: what is safe, when the API says, within one deadline."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import ModuleType
from typing import Any

import httpx2
import pytest

from taskyard_client import ApiAway, ApiRefused, Client, NotFound, Retries
from taskyard_client.retries import retry_after

TASK = {"id": "01890000-0000-7000-8000-000000000000", "name": "a.b", "queue": "default", "state": "queued"}
Answer = Callable[[httpx2.Request], httpx2.Response]


class Time:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def client_of(answer: Answer, time: Time, **more: Any) -> Client:
    retries = Retries(rand=lambda: 1.0, **more)
    return Client(
        "http://api.test", "ty_secret", retries=retries, transport=httpx2.MockTransport(answer),
        clock=lambda: time.now, sleep=time.sleep,
    )  # fmt: skip


def failing(times: int, answer: httpx2.Response | Exception) -> tuple[Answer, list[httpx2.Request]]:
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        if len(seen) > times:
            return httpx2.Response(202, json=TASK)
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return handle, seen


PASSING = [
    httpx2.ConnectError("refused"),
    httpx2.ReadTimeout("late"),
    httpx2.RemoteProtocolError("cut"),
    httpx2.Response(502, text="<html>"),
    httpx2.Response(503, json={"code": "ledger_unavailable", "detail": "away"}),
    httpx2.Response(504),
    httpx2.Response(429, json={"code": "rate_limited", "detail": "slow down"}),
    httpx2.Response(409, json={"code": "idempotency_in_progress", "detail": "wait"}),
]


@pytest.mark.parametrize("trouble", PASSING, ids=str)
def test_what_may_pass_is_tried_again_with_the_same_key_and_body(trouble: httpx2.Response | Exception) -> None:
    time = Time()
    handle, seen = failing(3, trouble)
    assert client_of(handle, time).submit("a.b", {"x": 1}).state == "queued"
    assert len(seen) == 4
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert len({request.content for request in seen}) == 1
    assert time.pauses == sorted(time.pauses), "pauses grow"
    assert time.pauses[2] > 3 * time.pauses[0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_what_the_api_refused_is_not_tried_again(status: int) -> None:
    handle, seen = failing(3, httpx2.Response(status, json={"code": "no", "detail": "No."}))
    with pytest.raises(ApiRefused, match="No"):
        client_of(handle, Time()).submit("a.b")
    assert len(seen) == 1


@pytest.mark.parametrize(
    "form", [lambda: "7", lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=8), usegmt=True)]
)
def test_retry_after_is_the_least_pause(form: Callable[[], str]) -> None:
    time = Time()
    handle, _ = failing(1, httpx2.Response(503, headers={"Retry-After": form()}))
    client_of(handle, time).submit("a.b")
    (pause,) = time.pauses
    assert 6 < pause < 9


def test_a_pause_that_would_pass_the_deadline_is_not_made() -> None:
    time = Time()
    handle, seen = failing(99, httpx2.Response(503, headers={"Retry-After": "60"}))
    with pytest.raises(ApiAway):
        client_of(handle, time, seconds=30).submit("a.b")
    assert (len(seen), time.now) == (1, 0.0)


def test_attempts_and_the_deadline_bound_the_repeats() -> None:
    handle, seen = failing(999, httpx2.ConnectError("refused"))
    time = Time()
    with pytest.raises(ApiAway):
        client_of(handle, time, seconds=30, attempts=999).submit("a.b")
    assert 20 < time.now <= 30
    assert max(time.pauses) <= 5
    seen.clear()
    with pytest.raises(ApiAway):
        client_of(handle, Time(), attempts=4).submit("a.b")
    assert len(seen) == 4


def test_pauses_are_jittered() -> None:
    pauses = {round(Retries().pause(5), 6) for _ in range(20)}
    assert len(pauses) > 10
    assert all(1.6 <= pause <= 3.2 for pause in pauses)


def test_an_upload_that_cannot_be_read_again_is_not_repeated() -> None:
    class Pipe:
        name = "pipe"

        def seekable(self) -> bool:
            return False

        def read(self, size: int) -> bytes:
            return b""

    handle, seen = failing(1, httpx2.ReadError("cut"))
    with pytest.raises(ApiAway):
        client_of(handle, Time()).files.upload(Pipe())  # type: ignore[arg-type]
    assert len(seen) == 1


def test_a_deletion_whose_answer_got_lost_is_done() -> None:
    seen: list[int] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(1)
        if len(seen) == 1:
            raise httpx2.ReadError("cut")
        return httpx2.Response(404, json={"code": "not_found", "detail": "There is no such item."})

    client = client_of(handle, Time())
    client.files.delete(TASK["id"])
    with pytest.raises(NotFound):
        client.files.item(TASK["id"])


def test_an_answer_of_another_server_is_told_and_the_key_goes_nowhere_else() -> None:
    seen: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.host)
        return httpx2.Response(302, headers={"Location": "http://elsewhere.test/"})

    with pytest.raises(ApiAway, match="Taskyard's API"):
        client_of(handle, Time()).submit("a.b")
    assert seen == ["api.test"]
    with pytest.raises(ApiAway, match="Taskyard's API"):
        client_of(lambda _: httpx2.Response(200, text="<html>"), Time()).task(TASK["id"])


def test_no_error_and_no_repr_shows_the_key() -> None:
    client = client_of(failing(99, httpx2.ConnectError("refused"))[0], Time())
    with pytest.raises(ApiAway) as away:
        client.submit("a.b")
    assert "ty_secret" not in f"{client!r} {away.value!r} {away.value}"


def test_an_answer_that_trickles_in_ends_with_the_deadline() -> None:
    time = Time()

    class Trickle(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(1000):
                time.now += 1
                yield b" "

    with pytest.raises(ApiAway, match="in time"):
        client_of(lambda _: httpx2.Response(200, stream=Trickle()), time, seconds=10).task(TASK["id"])
    assert time.now < 15


def test_a_newer_api_may_tell_more() -> None:
    answer = {**TASK, "colour": "blue", "state": "hibernating"}
    task = client_of(lambda _: httpx2.Response(200, json=answer), Time()).task(TASK["id"])
    assert task.as_sent() == answer


def test_the_span_of_opentelemetry_is_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    stub = ModuleType("opentelemetry.propagate")
    monkeypatch.setattr(stub, "inject", lambda carrier: carrier.update(traceparent=trace), raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.propagate", stub)
    handle, seen = failing(0, httpx2.Response(200))
    client_of(handle, Time()).submit("a.b")
    assert seen[0].headers["traceparent"] == trace


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "1.5", "Fri, 99 Nov", "1 Jan 2026 00:00:00 +99999999999999", "\u0661"]
)
def test_a_retry_after_that_is_none_is_ignored(text: str) -> None:
    assert retry_after(text) is None


@pytest.mark.parametrize("key", ["", "a\r\nX-Evil: 1", "\u00e9", "k" * 256])
def test_an_idempotency_key_that_is_no_header_is_refused_before_anything_is_sent(key: str) -> None:
    handle, seen = failing(0, httpx2.Response(200))
    with pytest.raises(ValueError, match="printable ASCII"):
        client_of(handle, Time()).submit("a.b", idempotency_key=key)
    assert seen == []


def test_a_read_that_waits_has_its_time_beside_the_deadline() -> None:
    seen: list[float] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.extensions["timeout"]["read"])
        return httpx2.Response(200, json=TASK)

    client_of(handle, Time(), seconds=10).task(TASK["id"], wait_seconds=60)
    client_of(handle, Time(), seconds=10).task(TASK["id"])
    assert seen == [70.0, 10.0]
