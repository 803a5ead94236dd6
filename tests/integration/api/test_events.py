"""Timelines: composed, ordered, resumable; live for one task and for all."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis
import redis.asyncio

from taskyard.broker.publisher import encode_changes
from taskyard.domain.tasks import Change, RetryIn, State
from taskyard_api import answers, auth, composition, live
from taskyard_api.auth import CACHE_SECONDS
from taskyard_api.ledger_pool import LedgerPool
from taskyard_api.live import Live
from taskyard_api.streams import Streams
from taskyard_client import ApiRefused, Client
from tests.integration.api.conftest import NAMESPACE, Api
from tests.integration.api.worker import FAULT, Worker
from tests.support.fleet import wait_for
from tests.support.sse import ServerEvent, parse_events
from tests.support.unheard import Unheard

STREAM = {"Accept": "text/event-stream"}


def events(api: Api, task: str, query: str = "") -> list[dict[str, Any]]:
    answer = api.http.get(f"/api/v1/tasks/{task}/events{query}")
    answers.TaskTimeline.model_validate_json(answer.content)
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in found]


def a_long_life(api: Api, worker: Worker) -> str:
    """Crashed, retried by policy, failed, retried by a caller, cancelled before the third attempt."""
    task: str = api.submit()["id"]
    worker.begin(task)
    worker.note(task, "one")
    worker.crash(task)
    worker.begin(task)
    worker.note(task, "two")
    worker.note(task, "half", "stage")
    worker.end(task, RetryIn(FAULT, timedelta(seconds=0)))
    with api.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE task SET state = 'queued', due_at = NULL, publication = publication + 1")
    worker.begin(task)
    worker.fail(task)
    api.http.post(f"/api/v1/tasks/{task}/retry")
    api.http.post(f"/api/v1/tasks/{task}/cancel")
    return task


LONG_LIFE = [
    "submitted",
    *("started", "log", "crashed"),
    *("started", "log", "progress", "retrying"),
    *("started", "failed"),
    *("retried", "cancelled"),
]


def test_a_timeline_has_all_events_in_order(api: Api) -> None:
    task = a_long_life(api, Worker(api.engine))
    found = events(api, task)
    assert kinds(found) == LONG_LIFE
    assert found[3]["data"]["cause"] == "killed by signal 9 (SIGKILL)"
    assert [e["attempt"] for e in found] == [0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    paged: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        query = f"?limit=2&cursor={cursor}" if cursor else "?limit=2"
        page = api.http.get(f"/api/v1/tasks/{task}/events{query}").json()
        paged += page["items"]
        cursor = page["next_cursor"]
    assert paged == found


def pages(api: Api, task: str, query: str) -> list[dict[str, Any]]:
    """All pages of two events."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.http.get(f"/api/v1/tasks/{task}/events?limit=2&{query}{cursor}").json()
        found += page["items"]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    return found


def test_a_timeline_is_read_from_its_end(api: Api) -> None:
    worker = Worker(api.engine)
    task = a_long_life(api, worker)
    found = events(api, task)
    assert pages(api, task, "order=newest") == found[::-1]
    for n, event in enumerate(found):
        assert events(api, task, f"?order=newest&cursor={event['id']}") == found[:n][::-1]
    api.http.post(f"/api/v1/tasks/{task}/retry")
    worker.begin(task)
    assert kinds(events(api, task, "?order=newest&limit=1")) == ["started"], "it runs"


def test_a_timeline_is_read_without_its_log_and_the_log_alone(api: Api) -> None:
    task = a_long_life(api, Worker(api.engine))
    found = events(api, task)
    for order, way in (("oldest", 1), ("newest", -1)):
        of_log = [event for event in found if event["kind"] == "log"][::way]
        others = [event for event in found if event["kind"] != "log"][::way]
        assert pages(api, task, f"order={order}&log=true") == of_log
        assert pages(api, task, f"order={order}&log=false") == others
        second = [event for event in found if event["attempt"] == 2][::way]
        assert pages(api, task, f"order={order}&attempt=2") == second


def test_the_end_of_a_task_without_a_row_of_its_own_is_read_from_the_end_too(api: Api) -> None:
    worker = Worker(api.engine)
    task = api.submit()["id"]
    worker.begin(task)
    worker.crash(task, limit=1)
    assert kinds(events(api, task, "?order=newest&limit=2")) == ["failed", "crashed"]
    assert kinds(events(api, task, "?order=newest&log=true")) == []


def test_an_attempt_tells_since_when_its_task_was_queued(api: Api) -> None:
    worker = Worker(api.engine)
    task = api.submit(delay_seconds=3600)["id"]
    with api.engine.connect() as conn:
        # Before it begins, and by more than the tenth of a second that an attempt of these tests is said to last.
        due = "UPDATE task SET state = 'queued', due_at = NULL, queued_at = now() - interval '1 s' WHERE id = %s"
        conn.exec_driver_sql(due, (task,))
    worker.begin(task)
    while_it_runs = events(api, task)[1]["data"]["queued_at"]
    worker.end(task, RetryIn(FAULT, timedelta(seconds=0)))
    with api.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE task SET state = 'queued', due_at = NULL, queued_at = now()")
    worker.begin(task)
    first, second = (event for event in events(api, task) if event["kind"] == "started")
    assert first["data"]["queued_at"] == while_it_runs
    assert first["data"]["queued_at"] < first["at"] < second["data"]["queued_at"] < second["at"]


def test_every_event_can_be_resumed_from(api: Api) -> None:
    task = a_long_life(api, Worker(api.engine))
    found = events(api, task)
    for n, event in enumerate(found):
        assert events(api, task, f"?cursor={event['id']}") == found[n + 1 :]
        headers = {**STREAM, "Last-Event-ID": event["id"]}
        with api.http.stream("GET", f"/api/v1/tasks/{task}/events", headers=headers) as answer:
            if event is found[-1]:
                assert (answer.status_code, answer.read()) == (204, b""), "EventSource reconnects after anything else"
                continue
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            streamed = [e.id for e in parse_events(answer.iter_lines())]
        assert streamed == [e["id"] for e in found[n + 1 :]]
    bad = api.http.get(f"/api/v1/tasks/{task}/events", headers={**STREAM, "Last-Event-ID": "x"})
    assert bad.status_code == 422


def test_a_final_state_without_a_row_of_its_own_is_in_the_timeline(api: Api) -> None:
    worker = Worker(api.engine)
    task = api.submit()["id"]
    worker.begin(task)
    before = events(api, task)
    worker.crash(task, limit=1)
    found = events(api, task)
    assert kinds(found) == ["submitted", "started", "crashed", "failed"]
    assert found[:2] == before
    assert found[-1]["data"]["error"]["code"] == "crash_limit"
    assert events(api, task, f"?cursor={found[-1]['id']}") == []
    api.http.post(f"/api/v1/tasks/{task}/retry")
    assert kinds(events(api, task, f"?cursor={found[-1]['id']}")) == ["retried"]


def test_tracebacks_are_for_the_scope_manage(api: Api) -> None:
    worker = Worker(api.engine)
    task = api.submit()["id"]
    worker.begin(task)
    worker.fail(task)
    assert events(api, task)[-1]["data"]["traceback"].startswith("Traceback")
    reader = api.client(api.key("read"))
    assert "secret place" not in reader.get(f"/api/v1/tasks/{task}/events").text
    assert "secret place" not in reader.get(f"/api/v1/tasks/{task}/events", headers=STREAM).text
    assert "secret place" not in reader.get(f"/api/v1/tasks/{task}").text


def follow(answer: httpx.Response, into: list[ServerEvent], seen: threading.Event) -> None:
    for event in parse_events(answer.iter_lines()):
        into.append(event)
        seen.set()


def test_a_live_timeline_brings_progress_and_ends_with_the_task(api: Api, shared_redis: redis.Redis) -> None:
    worker = Worker(api.engine)
    task = api.submit()["id"]

    def tell(state: State) -> None:
        change = Change(UUID(task), "diagnostics.echo", "default", state, 1)
        shared_redis.publish(f"{NAMESPACE}:events", encode_changes([change]))

    got: list[ServerEvent] = []
    with api.http.stream("GET", f"/api/v1/tasks/{task}/events", headers=STREAM) as answer:
        thread = threading.Thread(target=follow, args=(answer, got, threading.Event()))
        thread.start()
        wait_for(lambda: [e.kind for e in got] == ["submitted"])
        worker.begin(task)
        tell(State.RUNNING)
        wait_for(lambda: got[-1].kind == "started")
        worker.progress(task, 1, 4, "a quarter")
        tell(State.RUNNING)
        wait_for(lambda: got[-1].kind == "progress")
        assert got[-1].data["data"] == {"percent": 25, "current": 1, "total": 4, "message": "a quarter"}
        assert got[-1].id is None
        worker.note(task, "a line")
        tell(State.RUNNING)
        wait_for(lambda: got[-1].kind == "log")
        worker.end(task)
        tell(State.SUCCEEDED)
        thread.join(10)
        assert not thread.is_alive()
    assert [e.kind for e in got if e.id] == ["submitted", "started", "log", "succeeded"]
    assert [e.id for e in got if e.id] == [e["id"] for e in events(api, task)]
    wait_for(lambda: api.service.metrics.registry.get_sample_value("taskyard_sse_clients") == 0)


def changes(answer: httpx.Response) -> Iterator[ServerEvent]:
    return parse_events(answer.iter_lines())


def test_all_changes_are_sent_live_and_filtered(api: Api) -> None:
    restricted = api.client(api.key("read", queues=["low_priority"]))
    with (
        api.http.stream("GET", "/api/v1/events") as everything,
        api.http.stream("GET", "/api/v1/events?state=cancelled&queue=default") as cancelled,
        restricted.stream("GET", "/api/v1/events") as low,
    ):
        # After the first comment no change is missed.
        streams = [answer.iter_lines() for answer in (everything, cancelled, low)]
        for lines in streams:
            next(lines)
        told_all, told_cancelled, told_low = map(parse_events, streams)
        other = api.client(api.key())
        first = other.post("/api/v1/tasks", json={"name": "diagnostics.echo", "params": {"value": 1}}).json()["id"]
        body = {"name": "diagnostics.echo", "params": {"value": 1}, "queue": "low_priority"}
        second = other.post("/api/v1/tasks", json=body).json()["id"]
        other.post(f"/api/v1/tasks/{first}/cancel")
        # Other test processes may publish on the same server.
        mine = (change.data for change in told_all if change.data["task_id"] in {first, second})
        told = [next(mine) for _ in range(3)]
        assert {(t["task_id"], t["state"]) for t in told} == {
            (first, "queued"),
            (second, "queued"),
            (first, "cancelled"),
        }
        for stream, expected in ((told_cancelled, first), (told_low, second)):
            ours = (change.data["task_id"] for change in stream)
            assert next(task for task in ours if task in {first, second}) == expected


def test_a_stop_ends_streams_and_waits(start_api: Any) -> None:
    api = start_api()
    task = api.submit()["id"]
    with api.http.stream("GET", f"/api/v1/tasks/{task}/events", headers=STREAM) as answer:
        stream = changes(answer)
        assert next(stream).kind == "submitted"
        started = time.monotonic()
        api.service.live.close()
        assert list(stream) == []
        assert time.monotonic() - started < 10


def test_a_revoked_key_receives_nothing_more(api: Api) -> None:
    client = api.client(api.key("read", name="soon-gone"))
    task = api.submit()["id"]
    with (
        client.stream("GET", "/api/v1/events") as everything,
        client.stream("GET", f"/api/v1/tasks/{task}/events", headers=STREAM) as one,
    ):
        heard: list[ServerEvent] = []
        ended = [threading.Thread(target=follow, args=(s, heard, threading.Event())) for s in (everything, one)]
        for thread in ended:
            thread.start()
        wait_for(lambda: heard)
        with api.engine.connect() as conn:
            conn.exec_driver_sql("UPDATE api_key SET revoked_at = now() WHERE name = 'soon-gone'")
        deadline = time.monotonic() + CACHE_SECONDS + 10
        while any(thread.is_alive() for thread in ended):
            assert time.monotonic() < deadline, "it still follows"
            other = api.submit()["id"]
            api.http.post(f"/api/v1/tasks/{other}/cancel")
            with suppress(httpx.HTTPError):
                api.http.post(f"/api/v1/tasks/{task}/cancel" if len(heard) % 2 else f"/api/v1/tasks/{task}/retry")
            time.sleep(0.1)


def test_the_stream_of_a_revoked_key_ends_at_a_heartbeat(start_api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "CACHE_SECONDS", 0.1)
    monkeypatch.setattr(composition, "Streams", partial(Streams, heartbeat_seconds=0.2))
    api = start_api()
    client = api.client(api.key("read", name="soon-gone"))
    task = api.submit()["id"]
    with (
        client.stream("GET", "/api/v1/events") as everything,
        client.stream("GET", f"/api/v1/tasks/{task}/events", headers=STREAM) as one,
    ):
        with api.engine.connect() as conn:
            conn.exec_driver_sql("UPDATE api_key SET revoked_at = now() WHERE name = 'soon-gone'")
        started = time.monotonic()
        for stream in (everything, one):
            list(stream.iter_lines())
        assert time.monotonic() - started < 12, "before the heartbeat of others"


def subscribers(client: redis.Redis, namespace: str) -> int:
    return int(client.pubsub_numsub(f"{namespace}:events")[0][1])


def test_waits_for_a_task_that_the_ledger_lost_end(start_api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failover of PostgreSQL may lose the newest tasks: their followers get a 404."""
    monkeypatch.setattr(live, "_CHECK_SECONDS", 0.2)
    api = start_api(namespace="forgotten")
    task = api.submit()["id"]
    answered: list[int] = []

    def wait() -> None:
        answered.append(api.http.get(f"/api/v1/tasks/{task}?wait=60").status_code)

    waiting = threading.Thread(target=wait)
    waiting.start()
    caller = Client(api.url, api.http.headers["Authorization"].removeprefix("Bearer "))
    followed = caller.events(UUID(task))
    assert next(followed).kind == "submitted"
    with api.engine.connect() as conn:
        conn.exec_driver_sql(f"DELETE FROM task WHERE id = '{task}'")
    with pytest.raises(ApiRefused, match="no such task"):
        next(followed)
    waiting.join(10)
    assert answered == [404]
    caller.close()


def test_the_process_is_subscribed_only_while_it_has_followers(
    start_api: Any, shared_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_LINGER_SECONDS", 0.1)
    monkeypatch.setattr(live, "_PING_SECONDS", 0.1)
    # The server notices at a heartbeat that a client has disconnected.
    monkeypatch.setattr(composition, "Streams", partial(Streams, heartbeat_seconds=0.1))
    api = start_api(namespace="listening")
    task = api.submit()["id"]
    assert subscribers(shared_redis, "listening") == 0
    for _ in range(2):
        with api.http.stream("GET", f"/api/v1/tasks/{task}/events", headers=STREAM):
            wait_for(lambda: subscribers(shared_redis, "listening") == 1)
        wait_for(lambda: subscribers(shared_redis, "listening") == 0)


def test_followers_of_all_tasks_miss_no_change_after_the_first_comment(
    start_api: Any, shared_redis: redis.Redis
) -> None:
    api = start_api(namespace="first-word")
    with api.http.stream("GET", "/api/v1/events") as answer:
        lines = answer.iter_lines()
        next(lines)
        assert subscribers(shared_redis, "first-word") == 1
        task = api.submit()["id"]
        told = next(line for line in lines if line.startswith("data:"))
        assert task in told


@asynccontextmanager
async def following(api: Api, redis_url: str, namespace: str) -> AsyncIterator[tuple[Live, redis.asyncio.Redis]]:
    """Nobody publishes under `namespace`: what is told was looked up."""
    async with redis.asyncio.Redis.from_url(redis_url, client_name=namespace) as client:
        events = Live(client, namespace, LedgerPool(api.engine, 1, Unheard()))
        events.start()
        try:
            yield events, client
        finally:
            await events.stop()


@pytest.mark.parametrize(
    "subscribed", [False, True], ids=["before-the-subscription", "before-all-processes-noticed-it"]
)
def test_what_nobody_published_around_the_beginning_of_a_subscription_is_found(
    api: Api, redis_url: str, monkeypatch: pytest.MonkeyPatch, *, subscribed: bool
) -> None:
    monkeypatch.setattr(live, "_CHECK_WHEN_AWAY_SECONDS", 60)
    worker = Worker(api.engine)
    task = api.submit()["id"]

    async def follow() -> bool:
        async with following(api, redis_url, "nobody-publishes-here") as (events, _):
            with events.watch(UUID(task)) as watch:
                if subscribed:
                    assert await watch.changed(5), "the subscription is confirmed"
                # Otherwise in the same turn of the event loop: the subscription has not begun.
                worker.begin(task)
                worker.end(task)
                return await watch.changed(5) and watch.is_final

    assert asyncio.run(follow())


def test_followers_of_all_tasks_are_told_that_redis_was_away(api: Api, redis_url: str) -> None:
    async def follow_through_an_outage() -> tuple[Any, Any]:
        async with following(api, redis_url, "an-outage") as (events, client):
            with events.feed(lambda change: True) as feed:
                assert await events.subscribed(10)
                at_first = feed.missed()
                clients = await client.client_list(_type="pubsub")
                (cut,) = [one for one in clients if one["name"] == "an-outage"]
                await client.client_kill_filter(_id=cut["id"])
                assert await feed.changed(10)
                return at_first, feed.missed()

    assert asyncio.run(follow_through_an_outage()) == (None, {"lost": None})
