"""A PostgreSQL that freezes or is slow, under many clients: each request has its answer, and 202 is in the ledger."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from taskyard.domain.errors import Overloaded
from taskyard.domain.messages import message
from taskyard.lifecycle import idempotency
from taskyard.store import fleet, ledger
from taskyard_api import patience
from taskyard_api.admission import Admission
from tests.integration.api.conftest import Api
from tests.support.fleet import wait_for
from tests.support.proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CLIENTS = 100
# Beside the bound of a request: this machine is busy.
SLACK_SECONDS = 15.0


@dataclass
class Heard:
    """What clients were answered; `accepted` are the ids of tasks."""

    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)


class Crowd:
    """Clients that submit and read, each in a connection of its own. A request without an answer raises."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.heard = Heard()

    def send(self, requests: int = 1, *, clients: int = CLIENTS) -> None:
        asyncio.run(self._send(requests, clients))

    async def _send(self, requests: int, clients: int) -> None:
        timeout = httpx.Timeout(patience.REQUEST_SECONDS + SLACK_SECONDS, connect=30.0, pool=None)
        async with httpx.AsyncClient(
            base_url=self._api.url,
            headers=dict(self._api.http.headers),
            timeout=timeout,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=clients),
        ) as client:
            await asyncio.gather(*(self._client(client, n, requests) for n in range(clients)))

    async def _client(self, client: httpx.AsyncClient, n: int, requests: int) -> None:
        for _ in range(requests):
            if n % 3 == 0:
                answer = await client.get("/api/v1/tasks", params={"limit": 1})
            else:
                body: dict[str, Any] = {"name": "diagnostics.echo", "params": {"value": n}}
                body |= {"id": str(uuid4())} if n % 3 == 1 else {}
                answer = await client.post("/api/v1/tasks", json=body)
            self._hear(answer)

    def _hear(self, answer: httpx.Response) -> None:
        self.heard.statuses[answer.status_code] += 1
        if answer.status_code == 202:
            self.heard.accepted.append(answer.json()["id"])
        elif answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
            self.heard.codes[answer.json()["code"]] += 1


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    url = sa.make_url(database_url)
    with Proxy((str(url.host), int(url.port or 0))) as made:
        yield made


@pytest.fixture
def slow_api(start_api: Callable[..., Api], proxy: Proxy, database_url: str) -> Api:
    api = start_api(database_url=proxy.through(database_url), rate_limit_per_second=100_000)
    api.submit()
    return api


def accepted_once(api: Api, accepted: list[str]) -> None:
    assert len(accepted) == len(set(accepted))
    with api.engine.connect() as conn:
        found = conn.execute(sa.text("SELECT count(*) FROM task WHERE id = ANY(:ids)"), {"ids": accepted})
        assert found.scalar_one() == len(accepted)


def is_well(api: Api) -> bool:
    answer = api.http.post("/api/v1/tasks", json={"name": "diagnostics.echo", "params": {"value": 1}})
    return answer.status_code == 202 and api.http.get("/api/v1/tasks").status_code == 200


def test_while_postgresql_is_frozen_every_request_is_answered_and_afterwards_all_is_accepted(
    slow_api: Api, proxy: Proxy
) -> None:
    Crowd(slow_api).send()  # all connections are made
    crowd = Crowd(slow_api)
    proxy.stall()
    with ThreadPoolExecutor(1) as threads:
        sent = threads.submit(crowd.send)
        time.sleep(patience.MAX_TURN_SECONDS + 4)  # no call has begun for longer than the bound, and none has ended
        late = Crowd(slow_api)
        late.send(clients=1)  # a read: submits have connections of their own, which may fail to be made meanwhile
        assert late.heard.codes == {"overloaded": 1}
        assert not sent.done(), "who came later does not even wait"
        sent.result()
    assert set(crowd.heard.statuses) == {503}, "none was accepted"
    assert slow_api.http.get("/health/live").status_code == 200
    proxy.restore()

    def takes_all() -> bool:
        refused = crowd.heard.statuses[503]
        crowd.send()
        return crowd.heard.statuses[503] == refused

    wait_for(takes_all, 20, "the API to accept all of a crowd again")
    accepted_once(slow_api, crowd.heard.accepted)


def test_with_a_slow_way_to_postgresql_every_request_is_answered_and_202_is_in_the_ledger_once(
    slow_api: Api, proxy: Proxy
) -> None:
    crowd = Crowd(slow_api)
    proxy.slow(0.25)
    crowd.send()
    assert set(crowd.heard.statuses) <= {200, 202, 503}
    assert crowd.heard.statuses[202] > 0
    assert set(crowd.heard.codes) <= {"overloaded", "ledger_unavailable"}
    accepted_once(slow_api, crowd.heard.accepted)
    proxy.restore()
    wait_for(lambda: is_well(slow_api), 10, "the API to be well")


def test_a_request_is_refused_at_its_first_call_or_not_at_all(slow_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {"only": {"name": "diagnostics.echo", "params": {"value": 1}}}
    flow = slow_api.http.post("/api/v1/workflows", json={"steps": steps}).json()["id"]
    judged: list[float] = []

    def crowded(_pace: patience.Pace, ahead: float) -> float:
        judged.append(ahead)
        return 0.0 if len(judged) == 1 else 60.0

    monkeypatch.setattr(patience.Pace, "seconds_to_turn", crowded)
    path = f"/api/v1/workflows/{flow}"  # two calls: the workflow, then its steps
    assert slow_api.http.get(path).status_code == 200
    assert len(judged) == 1
    assert slow_api.http.get(path).json()["code"] == "overloaded"


def test_a_submit_that_is_refused_for_want_of_room_is_not_counted_as_refused_for_what_it_says(
    slow_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise Overloaded(message("Too many requests wait for the database."))

    def asked_again(*_: object) -> None:
        raise AssertionError("the ledger is asked once more")

    monkeypatch.setattr(Admission, "admit", full)
    monkeypatch.setattr(idempotency, "first_answer", asked_again)
    body = {"name": "diagnostics.echo", "params": {"value": 1}}
    answer = slow_api.http.post("/api/v1/tasks", json=body, headers={"Idempotency-Key": str(uuid4())})
    assert answer.json()["code"] == "overloaded"


def test_a_replica_that_sheds_load_is_still_ready(slow_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise all replicas would be taken out at once, and the load put on the others."""
    monkeypatch.setattr(patience.Pace, "seconds_to_turn", lambda *_: 60.0)
    for path in ("/api/v1/tasks", "/health/detailed"):
        refused = slow_api.http.get(path)
        assert (refused.json()["code"], refused.headers["Retry-After"]) == ("overloaded", "30")
    assert slow_api.http.get("/health/ready").json()["database"] == "up"


def test_readiness_needs_no_connection_that_requests_have_and_no_new_one(
    slow_api: Api, proxy: Proxy, engine: sa.Engine
) -> None:
    """A slow server makes connections slowly: a probe that had to wait for one would take out every replica."""
    assert slow_api.http.get("/health/ready").json()["database"] == "up"
    with Proxy(proxy.target) as nowhere:
        nowhere.stall()
        proxy.target = nowhere.address
        with ThreadPoolExecutor(10) as threads:
            with ledger.transaction(engine) as conn:
                conn.execute(sa.text("LOCK TABLE task"))
                reads = [threads.submit(slow_api.http.get, "/api/v1/tasks", timeout=60) for _ in range(10)]
                wait_for(lambda: any(read.done() for read in reads), 20, "one to have got no connection")
                assert slow_api.http.get("/health/ready").json()["database"] == "up"
                assert not all(read.done() for read in reads), "others have those that there are"
            assert {read.result().status_code for read in reads} == {200, 503}


def test_readiness_waits_behind_no_look_at_the_parts(slow_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, goes_on = threading.Event(), threading.Event()

    def slow_look(_conn: sa.Connection) -> None:
        looks.set()
        assert goes_on.wait(60)

    monkeypatch.setattr(fleet, "leader", slow_look)
    with ThreadPoolExecutor(1) as threads:
        detailed = threads.submit(slow_api.http.get, "/health/detailed", timeout=60)
        assert looks.wait(20)
        try:
            assert slow_api.http.get("/health/ready").json()["database"] == "up"
            assert not detailed.done()
        finally:
            goes_on.set()
        assert detailed.result().json()["components"]["database"]["status"] == "healthy"
