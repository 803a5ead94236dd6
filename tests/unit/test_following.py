"""Following and waiting, against answers that no real server gives in a test's time."""

from uuid import UUID

import httpx2
import pytest

from taskyard_client import ApiAway, Client

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
