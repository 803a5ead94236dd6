"""The HTTP client of the `taskyard` command, against fake answers."""

import json
from types import SimpleNamespace
from uuid import UUID

import httpx
import pytest

from taskyard import client
from taskyard.client import ApiAway, Client, ServerEvent

TASK = UUID(int=1)


def test_following_keeps_asking_an_api_that_went_away_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a minute, then it raises; also between the read that shows a final task and the read that brings the rest."""
    now, asked = 0.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        assert asked < 1000, "it asks without a pause"
        if asked == 1:
            return httpx.Response(200, text="retry: 1000\n\n")
        if asked == 2:
            return httpx.Response(200, json={"finished_at": "2026-01-31T12:00:00Z"})
        raise httpx.ConnectError("refused", request=request)

    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    caller = Client("http://api.test", "ty_key")
    caller._http = httpx.Client(base_url="http://api.test/api/v1/", transport=httpx.MockTransport(answer))
    with pytest.raises(ApiAway):
        list(caller.follow(TASK))
    assert 60 < now < 62
    assert asked > 60
    caller.close()


def test_events_are_read_whatever_their_texts_hold() -> None:
    """Ends of lines are those of the format: a task may say others."""
    said = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh\ni"
    sent = f"event: log\r\ndata: {json.dumps({'data': said}, ensure_ascii=False)}\r\nid: 1.2.3\r\n\r\n: note\n".encode()
    for size in (1, 7, len(sent)):
        pieces = [sent[n : n + size] for n in range(0, len(sent), size)]

        def answer(request: httpx.Request, pieces: list[bytes] = pieces) -> httpx.Response:
            return httpx.Response(200, content=iter(pieces), headers={"Content-Type": "text/event-stream"})

        caller = Client("http://api.test", "ty_key")
        caller._http = httpx.Client(base_url="http://api.test/api/v1/", transport=httpx.MockTransport(answer))
        _, event = caller._stream("tasks/1/events", None)
        assert event == ServerEvent("log", {"data": said}, "1.2.3")
        caller.close()
