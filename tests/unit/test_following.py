"""Following and waiting, against answers that no real server gives in a test's time."""

import json
from itertools import islice
from uuid import UUID

import httpx2
import pytest

from taskyard_client import ApiAway, Change, Client, Missed, NotAllowed, TaskEvent

TASK = UUID(int=1)


def test_following_keeps_asking_an_api_that_went_away_at_the_end() -> None:
    """For a minute, then it raises; also between the read that shows a final task and the read that brings the rest."""
    now, asked = 0.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal asked
        asked += 1
        assert asked < 1000, "it asks without a pause"
        if asked == 1:
            return httpx2.Response(200, text="retry: 1000\n\n")
        if asked == 2:
            task = {"id": str(TASK), "name": "a.b", "queue": "default", "state": "succeeded"}
            return httpx2.Response(200, json={**task, "finished_at": "2026-01-31T12:00:00Z"})
        raise httpx2.ConnectError("refused", request=request)

    client = Client("http://api.test", "ty_key", transport=httpx2.MockTransport(answer), clock=lambda: now, sleep=sleep)
    with client, pytest.raises(ApiAway):
        list(client.events(TASK))
    assert 60 < now < 62
    assert asked > 60


def test_a_wait_goes_back_to_the_stream_once_an_api_that_was_away_is_back() -> None:
    """Of an API that is away, it is not known whether its streams come through."""
    now = 0.0
    streams: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal now
        if now < 10:
            raise httpx2.ConnectError("refused", request=request)
        task = {"id": str(TASK), "name": "a.b", "queue": "default", "state": "succeeded" if streams else "running"}
        if request.headers["Accept"] == "text/event-stream":
            streams.append(now)
            return httpx2.Response(200, text=": taskyard\n\n")
        return httpx2.Response(200, json=task)

    with Client("http://api.test", transport=httpx2.MockTransport(answer), clock=lambda: now, sleep=sleep) as client:
        assert client.wait(TASK).succeeded
    assert len(streams) == 1


def test_events_are_read_whatever_their_texts_hold() -> None:
    """Ends of lines are those of the format: a task may say others."""
    said = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh\ni"
    data = json.dumps({"kind": "log", "data": {"message": said}}, ensure_ascii=False)
    sent = f"event: log\r\ndata: {data}\r\nid: 1.2.3\r\n\r\n: note\n".encode()
    for size in (1, 7, len(sent)):
        pieces = [sent[n : n + size] for n in range(0, len(sent), size)]

        def answer(request: httpx2.Request, pieces: list[bytes] = pieces) -> httpx2.Response:
            return httpx2.Response(200, content=iter(pieces), headers={"Content-Type": "text/event-stream"})

        with Client("http://api.test", "ty_key", transport=httpx2.MockTransport(answer)) as client:
            event = next(client.events(TASK))
        assert event == TaskEvent(kind="log", data={"message": said}, id="1.2.3")


def change(number: int) -> str:
    data = {"task_id": str(UUID(int=number)), "name": "a.b", "queue": "default", "state": "queued", "attempt": 0}
    return f"event: change\ndata: {json.dumps(data)}\n\n"


def lost(number: str) -> str:
    return f'event: lost\ndata: {{"lost": {number}}}\n\n'


def test_changes_say_where_some_were_missed() -> None:
    """Nobody keeps them: a stream that is begun anew, and one that was too fast for its reader, have gaps."""
    now = 0.0
    asked: list[str] = []
    streams: list[str | Exception] = [
        f": taskyard\nretry: 1000\n\n{change(1)}",
        httpx2.ConnectError("refused"),
        f": taskyard\n\n{change(2)}{lost('7')}{change(3)}{lost('null')}",
    ]

    def sleep(seconds: float) -> None:
        nonlocal now
        assert seconds > 0
        now += seconds

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        if not streams:
            return httpx2.Response(401, json={"detail": "This API key was revoked."})
        stream = streams.pop(0)
        if isinstance(stream, Exception):
            raise stream
        return httpx2.Response(200, text=stream)

    client = Client("http://api.test", "ty_key", transport=httpx2.MockTransport(answer), clock=lambda: now, sleep=sleep)
    with client:
        changes = client.changes(state=["queued", "failed"], queue="default", name=None)
        seen = [one.task_id.int if isinstance(one, Change) else one for one in islice(changes, 6)]
        assert seen == [1, Missed(), 2, Missed(lost=7), 3, Missed(lost=None)]
        with pytest.raises(NotAllowed):
            next(changes)
    assert set(asked) == {"http://api.test/api/v1/events?state=queued%2Cfailed&queue=default"}
