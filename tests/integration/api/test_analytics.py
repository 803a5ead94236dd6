"""Usage events, the sums of usage and requests, and the cached lists of models."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import redis
import sqlalchemy as sa

from taskyard.domain.ids import new_id
from taskyard.domain.model_lists import ModelList
from taskyard.store import analytics, ledger
from taskyard.store.analytics import KEPT_DAYS, TAKEN_DAYS, TOP_MODELS, RequestCount
from taskyard_api import analytics_models
from tests.integration.api.conftest import NAMESPACE, Api
from tests.support.databases import WAITING_FOR_A_LOCK
from tests.support.fleet import wait_for

EVENTS, ANALYTICS, MODELS = "/api/v1/usage-events", "/api/v1/analytics", "/api/v1/models"
HOUR = timedelta(hours=1)
# An hour that is over, some days ago: what this API counts itself is not in it.
THEN = (datetime.now(UTC) - timedelta(days=3)).replace(hour=5, minute=0, second=0, microsecond=0)


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def event(at: datetime = THEN, model: str = "llama3", tokens: int = 10) -> dict[str, Any]:
    return {"model": model, "tokens": tokens, "at": text(at)}


def tell(http: httpx.Client, *events: dict[str, Any], **more: Any) -> None:
    answer = http.post(EVENTS, json={"events": list(events)}, **more)
    assert (answer.status_code, answer.json()) == (202, {"accepted": len(events)})


def sums(http: httpx.Client, start: datetime = THEN, end: datetime = THEN + HOUR, **query: str) -> dict[str, Any]:
    answer = http.get(ANALYTICS, params={"from": text(start), "to": text(end), **query})
    assert answer.status_code == 200, answer.text
    analytics_models.Analytics.model_validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


def models(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(m["from"], m["model"], m["events"], m["tokens"]) for m in found["models"]]


def counted(api: Api, at: datetime, requests: int, *, status: int = 200, route: str = "/r", source: Any = None) -> None:
    count = RequestCount(int(at.timestamp() // 60), "GET", route, status, requests, requests * 0.5)
    ledger.run(api.engine, lambda conn: analytics.write_counts(conn, source or new_id(), [count]))


def aggregated(api: Api, hour: datetime, model: str, tokens: int, requests: int) -> None:
    """What an aggregation leaves."""
    with ledger.transaction(api.engine) as conn:
        conn.execute(sa.text("INSERT INTO analytics_hour (hour) VALUES (:hour)"), {"hour": hour})
        conn.execute(
            sa.text("INSERT INTO usage_hour VALUES (:hour, 'ci', :model, 1, :tokens)"),
            {"hour": hour, "model": model, "tokens": tokens},
        )
        conn.execute(
            sa.text("INSERT INTO request_hour VALUES (:hour, 'GET', '/r', 200, :requests, 1)"),
            {"hour": hour, "requests": requests},
        )


# Usage events


def test_events_are_summed_up_by_hour_day_and_in_all(api: Api) -> None:
    later, next_day = THEN + HOUR, THEN + timedelta(days=1)
    tell(api.http, event(), event(THEN + timedelta(minutes=59), tokens=5), event(model="mistral", tokens=1))
    tell(api.http, event(later, tokens=7), event(next_day, tokens=100))
    end = next_day + HOUR
    by_hour = [(text(THEN), "llama3", 2, 15), (text(THEN), "mistral", 1, 1), (text(later), "llama3", 1, 7)]
    assert models(sums(api.http, end=end)) == [*by_hour, (text(next_day), "llama3", 1, 100)]
    day, second = text(THEN.replace(hour=0)), text(next_day.replace(hour=0))
    assert models(sums(api.http, end=end, by="day")) == [
        (day, "llama3", 3, 22), (day, "mistral", 1, 1), (second, "llama3", 1, 100)
    ]  # fmt: skip
    assert models(sums(api.http, end=end, by="total")) == [
        (text(THEN), "llama3", 4, 122), (text(THEN), "mistral", 1, 1)
    ]  # fmt: skip


def test_events_with_an_idempotency_key_count_once(api: Api) -> None:
    key = {"Idempotency-Key": "usage-1"}
    tell(api.http, event(), headers=key)
    again = api.http.post(EVENTS, json={"events": [event()]}, headers=key)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert models(sums(api.http)) == [(text(THEN), "llama3", 1, 10)]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"tokens": -1}, "/tokens"),
        ({"tokens": "1"}, "/tokens"),
        ({"tokens": 1.5}, "/tokens"),
        ({"tokens": 10**12 + 1}, "/tokens"),
        ({"model": ""}, "/model"),
        ({"model": "x" * 201}, "/model"),
        ({"model": "a\x00"}, "/model"),
        ({"model": "_other"}, "/model"),
        ({"at": "yesterday"}, "/at"),
        ({"at": text(datetime.now(UTC) + HOUR)}, "/at"),
        ({"at": text(datetime.now(UTC) - timedelta(days=TAKEN_DAYS, hours=1))}, "/at"),
        ({"user": "eva"}, "/user"),
    ],
)
def test_one_wrong_event_refuses_all_of_them(api: Api, wrong: dict[str, Any], pointer: str) -> None:
    answer = api.http.post(EVENTS, json={"events": [event(), {**event(), **wrong}]})
    assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (422, [f"/events/1{pointer}"])
    with api.engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM usage_event").scalar_one() == 0


def test_a_thousand_events_are_taken_and_not_more(api: Api) -> None:
    tell(api.http, *[event(model="é" * 200)] * 1_000)
    assert api.http.post(EVENTS, json={"events": [event()] * 1_001}).status_code == 422
    assert api.http.post(EVENTS, json={"events": []}).status_code == 422


def test_of_a_thousand_wrong_events_a_hundred_are_told(api: Api) -> None:
    old = event(at=datetime.now(UTC) - timedelta(days=TAKEN_DAYS, hours=1))
    answer = api.http.post(EVENTS, json={"events": [old] * 1_000})
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 100)


# Sums


def test_sums_of_an_aggregated_hour_are_read_and_the_rest_is_computed(api: Api) -> None:
    tell(api.http, event(), event(THEN + HOUR, tokens=3))
    counted(api, THEN, 2)
    counted(api, THEN + HOUR, 3)
    aggregated(api, THEN, "llama3", tokens=1_000, requests=2_000)  # not what the events say, to tell them apart
    found = sums(api.http, end=THEN + 2 * HOUR)
    assert models(found) == [(text(THEN), "llama3", 1, 1_000), (text(THEN + HOUR), "llama3", 1, 3)]
    assert [r["requests"] for r in found["requests"]] == [2_000, 3]
    assert found["aggregated_at"] is not None
    assert sums(api.http, THEN + HOUR, THEN + 2 * HOUR)["aggregated_at"] is None


def test_what_comes_late_takes_the_sums_of_its_hour_away(api: Api) -> None:
    lates: list[Callable[[], None]] = [lambda: tell(api.http, event(tokens=3)), lambda: counted(api, THEN, 1)]
    for late in lates:
        aggregated(api, THEN, "llama3", tokens=1_000, requests=2_000)
        late()
        found = sums(api.http)
        assert models(found) == [(text(THEN), "llama3", 1, 3)]
        assert sum(r["requests"] for r in found["requests"]) < 2_000
        with api.engine.begin() as conn:
            conn.exec_driver_sql("DELETE FROM usage_hour; DELETE FROM request_hour")


def test_what_comes_while_an_hour_is_summed_up_is_not_lost(api: Api) -> None:
    with ThreadPoolExecutor(1) as pool:
        with ledger.transaction(api.engine) as conn:
            conn.exec_driver_sql("LOCK TABLE usage_event, request_count IN SHARE MODE")
            telling = pool.submit(tell, api.http, event(tokens=3))
            blocked = sa.text(WAITING_FOR_A_LOCK)
            wait_for(lambda: conn.execute(blocked).scalar_one() > 0, 10, "the event that waits")
            conn.execute(sa.text("INSERT INTO analytics_hour (hour) VALUES (:hour)"), {"hour": THEN})
        telling.result()
    assert models(sums(api.http)) == [(text(THEN), "llama3", 1, 3)]


def test_requests_are_summed_up_with_their_errors_and_time(api: Api) -> None:
    for status, requests in ((200, 6), (404, 3), (503, 1)):
        counted(api, THEN + timedelta(minutes=status % 60), requests, status=status)
    counted(api, THEN, 4, route="/other")
    shown = sums(api.http)["requests"]
    assert shown == [
        {"from": text(THEN), "method": "GET", "route": "/other", "requests": 4, "client_errors": 0,
         "server_errors": 0, "mean_seconds": 0.5},
        {"from": text(THEN), "method": "GET", "route": "/r", "requests": 10, "client_errors": 3,
         "server_errors": 1, "mean_seconds": 0.5},
    ]  # fmt: skip


def test_models_beyond_the_largest_are_one(api: Api) -> None:
    """Callers name models as they like: an answer stays bounded."""
    tell(api.http, *[event(model=f"m{n:04}", tokens=n) for n in range(TOP_MODELS + 50)])
    found = models(sums(api.http))
    assert len(found) == TOP_MODELS + 1
    assert found[0] == (text(THEN), f"m{TOP_MODELS + 49:04}", 1, TOP_MODELS + 49)
    assert found[-1] == (text(THEN), "_other", 50, sum(range(50)))


def test_whole_hours_are_told(api: Api) -> None:
    found = sums(api.http, THEN + timedelta(minutes=59), THEN + timedelta(minutes=61))
    assert (found["from"], found["to"]) == (text(THEN), text(THEN + 2 * HOUR))


def test_by_default_it_is_the_last_day(api: Api) -> None:
    now = datetime.now(UTC)
    tell(api.http, event(now), event(now - timedelta(days=2)))
    found = api.http.get(ANALYTICS).json()
    assert [m["events"] for m in found["models"]] == [1]
    assert found["by"] == "hour"


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"from": "2026-01-01T00:00:00Z", "to": "2026-01-09T00:00:00Z"},
        {"from": "2024-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "by": "day"},
        {"from": "2023-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "by": "total"},
        {"from": "8999-12-31T00:00:00Z"},
        {"from": "today"},
        {"by": "minute"},
        {"model": "llama3"},
    ],
)
def test_a_wrong_time_or_bucket_is_422(api: Api, query: dict[str, str]) -> None:
    assert api.http.get(ANALYTICS, params=query).status_code == 422


def test_the_last_hours_that_there_are_do_not_overflow(api: Api) -> None:
    assert sums(api.http, datetime(8999, 12, 31, 22, 30, tzinfo=UTC), datetime(8999, 12, 31, 23, 59, tzinfo=UTC))
    assert sums(api.http, datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, 1, tzinfo=UTC))
    assert api.http.get(ANALYTICS, params={"to": "1970-01-01T00:00:00Z"}).status_code == 200


def test_an_analysis_leaves_the_other_threads_to_other_callers(start_api: Callable[..., Api]) -> None:
    api = start_api(db_pool_size=2)
    with ThreadPoolExecutor(4) as pool:
        with ledger.transaction(api.engine) as conn:
            conn.exec_driver_sql("LOCK TABLE usage_event IN ACCESS EXCLUSIVE MODE")
            asked = [pool.submit(sums, api.http) for _ in range(4)]
            blocked = sa.text(WAITING_FOR_A_LOCK)
            wait_for(lambda: conn.execute(blocked).scalar_one() > 0, 10, "the analysis that waits")
            for _ in range(5):
                assert api.http.get("/api/v1/tasks", timeout=5).status_code == 200
            assert conn.execute(blocked).scalar_one() == 1
        assert all(one.result()["models"] == [] for one in asked)


def test_usage_that_waits_for_an_aggregation_leaves_the_other_threads_to_other_callers(
    start_api: Callable[..., Api],
) -> None:
    api = start_api(db_pool_size=4)
    with ThreadPoolExecutor(20) as pool:
        with ledger.transaction(api.engine) as conn:
            conn.exec_driver_sql("LOCK TABLE usage_event IN SHARE MODE")
            told = [pool.submit(api.http.post, EVENTS, json={"events": [event()]}) for _ in range(20)]
            blocked = sa.text(WAITING_FOR_A_LOCK)
            wait_for(lambda: conn.execute(blocked).scalar_one() > 0, 10, "the event that waits")
            for _ in range(5):
                assert api.http.get("/api/v1/tasks").status_code == 200
            assert not any(one.done() for one in told)
        assert {one.result().status_code for one in told} == {202}


def test_usage_that_would_wait_for_long_is_refused_for_now(start_api: Callable[..., Api]) -> None:
    api = start_api(db_pool_size=4)
    with ledger.transaction(api.engine) as conn:
        conn.exec_driver_sql("LOCK TABLE usage_event IN SHARE MODE")
        answer = api.http.post(EVENTS, json={"events": [event()]})
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


def test_more_analyses_than_can_be_answered_are_refused_and_none_is_forgotten(start_api: Callable[..., Api]) -> None:
    api = start_api(db_pool_size=2)
    with ThreadPoolExecutor(40) as pool:
        with ledger.transaction(api.engine) as conn:
            conn.exec_driver_sql("LOCK TABLE usage_event IN ACCESS EXCLUSIVE MODE")
            asked = [pool.submit(api.http.get, ANALYTICS, timeout=30) for _ in range(40)]
            wait_for(lambda: sum(one.done() for one in asked) == 40 - 16, 10, "the refusals")
        statuses = [one.result().status_code for one in asked]
    assert (statuses.count(200), statuses.count(503)) == (16, 24)
    refused = next(one.result() for one in asked if one.result().status_code == 503)
    assert (refused.json()["code"], "Retry-After" in refused.headers) == ("overloaded", True)
    assert api.http.get(ANALYTICS).status_code == 200


def test_each_call_needs_its_scope(api: Api) -> None:
    for scope in ("read", "submit", "manage"):
        client = api.client(api.key(scope))
        statuses = [
            client.get(ANALYTICS).status_code,
            client.get(MODELS).status_code,
            client.post(EVENTS, json={"events": [event()]}).status_code,
        ]
        assert statuses == {"read": [200, 200, 403], "submit": [403, 403, 202], "manage": [403] * 3}[scope]


def test_a_restricted_key_sees_its_own_usage_only(api: Api) -> None:
    mine = api.client(api.key("read", "submit", queues=["default"], name="mine"))
    tell(mine, event(tokens=1))
    tell(api.http, event(tokens=2), event(model="hidden"))
    counted(api, THEN, 5)
    aggregated(api, THEN + HOUR, "hidden", tokens=9, requests=9)
    with api.engine.begin() as conn:
        conn.execute(sa.text("INSERT INTO usage_hour VALUES (:hour, 'mine', 'llama3', 1, 4)"), {"hour": THEN + HOUR})
    found = sums(mine, end=THEN + 2 * HOUR, by="total")
    assert (models(found), found["requests"]) == ([(text(THEN), "llama3", 2, 5)], None)
    everything = sums(api.http, end=THEN + 2 * HOUR, by="total")
    assert models(everything) == [(text(THEN), "hidden", 2, 19), (text(THEN), "llama3", 3, 7)]


def test_events_are_taken_for_less_time_than_they_are_kept() -> None:
    """None is deleted before it was summed up."""
    assert TAKEN_DAYS < KEPT_DAYS


# Models


def test_without_lists_there_is_a_word_why(api: Api) -> None:
    answer = api.http.get(MODELS)
    analytics_models.Models.model_validate_json(answer.content)
    for shown in answer.json().values():
        assert (shown["models"], shown["cached_at"], shown["age_seconds"]) == ([], None, None)
        assert shown["message"].startswith("No list is cached")
    german = api.http.get(MODELS, headers={"Accept-Language": "de"})
    assert german.headers["Content-Language"] == "de"
    assert german.json()["ollama_models"]["message"].startswith("Es ist keine Liste gespeichert")


def test_cached_lists_are_shown_with_their_age(api: Api, shared_redis: redis.Redis) -> None:
    cached_at = datetime.now(UTC) - timedelta(minutes=10)
    ollama = ModelList(models=["llama3", "mistral"], cached_at=cached_at)
    shared_redis.set(f"{NAMESPACE}:models:ollama", ollama.stored())
    shared_redis.set(f"{NAMESPACE}:models:litellm", ModelList(models=[], cached_at=cached_at + HOUR).stored())
    answer = api.http.get(MODELS)
    analytics_models.Models.model_validate_json(answer.content)
    ollama, litellm = answer.json()["ollama_models"], answer.json()["litellm_models"]
    assert (ollama["models"], ollama["message"]) == (["llama3", "mistral"], None)
    assert 600 <= ollama["age_seconds"] < 660
    assert (litellm["models"], litellm["age_seconds"]) == ([], 0.0), "from a clock that is ahead"


@pytest.mark.parametrize("wrong", [b"", b"null", b"[1]", b'{"models": [{}], "cached_at": "x"}', b"\xff\x00"])
def test_what_is_no_list_is_told_as_that(api: Api, shared_redis: redis.Redis, wrong: bytes) -> None:
    shared_redis.set(f"{NAMESPACE}:models:ollama", wrong)
    shown = api.http.get(MODELS).json()["ollama_models"]
    assert (shown["models"], shown["cached_at"]) == ([], None)
    assert "no list of models" in shown["message"]


def test_without_redis_the_lists_are_503(start_api: Callable[..., Api]) -> None:
    api = start_api(redis_url="redis://127.0.0.1:1/0")
    answer = api.http.get(MODELS, headers={"Accept-Language": "de"})
    assert (answer.status_code, answer.json()["code"]) == (503, "cache_unavailable")
    assert answer.json()["detail"] == "Das Redis mit den Listen der Modelle antwortet nicht."
    assert "Retry-After" in answer.headers


def test_a_redis_that_is_silent_is_given_up_on(start_api: Callable[..., Api]) -> None:
    """Sooner than its socket is, after ten seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = start_api(redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        answer = api.http.get(MODELS, timeout=8)
    assert (answer.status_code, answer.json()["code"]) == (503, "cache_unavailable")
