"""Authentication and authorisation."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from taskyard.domain.api_keys import make_key
from taskyard_api import auth
from tests.integration.api.conftest import Api
from tests.support.fleet import wait_for

ECHO = {"name": "diagnostics.echo", "params": {"value": 1}}


def test_a_request_without_a_valid_key_is_refused_with_a_reason(api: Api) -> None:
    good = api.key("read")
    wrong_secret = good[:12] + make_key().text[12:]
    expired = api.key("read", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked = api.key("read", name="revoked")
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE api_key SET revoked_at = now() WHERE name = 'revoked'"))
    cases = {
        None: "missing_key",
        "": "missing_key",
        f"Basic {good}": "missing_key",
        good: "missing_key",
        "Bearer nonsense": "invalid_key",
        "Bearer ty_" + "a" * 5000: "invalid_key",
        "Bearer " + good.upper(): "invalid_key",
        f"Bearer {wrong_secret}": "invalid_key",
        f"Bearer {make_key().text}": "invalid_key",
        f"Bearer {expired}": "expired_key",
        f"Bearer {revoked}": "revoked_key",
    }
    for header, code in cases.items():
        headers = {} if header is None else {"Authorization": header}
        answer = api.client(None).get("/api/v1/tasks", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, code), header
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert good not in answer.text
    assert api.client(good).get("/api/v1/tasks").status_code == 200
    assert api.client(None).get("/api/v1/tasks", headers={"Authorization": f"bearer {good}"}).status_code == 200


def test_a_key_may_do_only_what_its_scopes_allow(api: Api) -> None:
    task = api.submit()
    calls = {
        "read": ("GET", f"/api/v1/tasks/{task['id']}"),
        "submit": ("POST", "/api/v1/tasks"),
        "manage": ("POST", f"/api/v1/tasks/{task['id']}/cancel"),
    }
    for scope in calls:
        client = api.client(api.key(scope))
        for needed, (method, path) in calls.items():
            answer = client.request(method, path, json=ECHO if needed == "submit" else None)
            if scope == needed:
                assert answer.is_success
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
                assert answer.json()["scope"] == needed
                assert answer.json()["detail"] == f"This call needs a key with the scope '{needed}'."


@pytest.mark.parametrize("scope", ["read", "submit", "manage", "admin"])
def test_every_key_is_told_what_it_is_and_what_it_allows(api: Api, scope: str) -> None:
    until = datetime(2100, 1, 1, tzinfo=UTC)
    key = api.key(scope, name="console", queues=["low_priority", "default"], expires_at=until)
    answer = api.client(key).get("/api/v1/key")
    assert answer.status_code == 200
    told = answer.json()
    assert UUID(told.pop("id"))
    assert told == {
        "name": "console",
        "scopes": [scope],
        "queues": ["default", "low_priority"],
        "expires_at": "2100-01-01T00:00:00Z",
    }
    assert api.http.get("/api/v1/key").json()["queues"] is None
    assert api.client(None).get("/api/v1/key").status_code == 401


def test_a_key_with_queues_sees_and_submits_only_those(api: Api) -> None:
    other = api.submit()
    client = api.client(api.key("admin", queues=["low_priority"]))
    assert client.post("/api/v1/tasks", json=ECHO).json()["code"] == "queue_not_allowed"
    assert client.post("/api/v1/tasks", json={**ECHO, "queue": "no_such"}).status_code == 403
    submitted = len(api.http.get("/api/v1/tasks").json()["items"])
    wrong, own = {**ECHO, "params": {"no": 1}}, {**ECHO, "queue": "low_priority"}
    for path, body in (
        ("", ECHO),
        ("", {**ECHO, "queue": "default"}),
        ("/batch", {"tasks": [own, ECHO]}),
        ("/batch", {"tasks": [wrong | {"queue": "low_priority"}, {**ECHO, "queue": "default"}]}),
        ("", {**ECHO, "unique": {"key": "k", "while": "active"}}),
    ):
        for _ in range(2):  # a repeat under the same key is refused like the first
            refused = client.post(f"/api/v1/tasks{path}", json=body, headers={"Idempotency-Key": f"k{path}"})
            assert refused.status_code == 403, body
            problem = refused.json()
            assert (problem["type"], problem["code"]) == ("urn:taskyard:problem:queue_not_allowed", "queue_not_allowed")
    assert len(api.http.get("/api/v1/tasks").json()["items"]) == submitted
    mine = client.post("/api/v1/tasks", json={**ECHO, "queue": "low_priority"})
    assert mine.status_code == 202
    for method, path in (
        ("GET", ""),
        ("GET", "/status"),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
    ):
        assert client.request(method, f"/api/v1/tasks/{other['id']}{path}").status_code == 404
    for query in ("", "?state=queued", "?queue=default", "?name=diagnostics.echo"):
        found = [t["id"] for t in client.get(f"/api/v1/tasks{query}").json()["items"]]
        assert found == ([] if "default" in query else [mine.json()["id"]])
    assert [q["name"] for q in client.get("/api/v1/queues").json()["items"]] == ["low_priority"]
    assert client.get("/api/v1/queues/default").status_code == 404
    with api.engine.connect() as conn:
        allowed = conn.execute(
            sa.text("SELECT allowed_queues FROM task WHERE id = :id"), {"id": mine.json()["id"]}
        ).scalar_one()
    assert allowed == ["low_priority"]


def test_a_revocation_works_within_seconds(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    client = api.client(api.key("read", name="soon-gone"))
    assert client.get("/api/v1/tasks").status_code == 200
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE api_key SET revoked_at = now() WHERE name = 'soon-gone'"))
    wait_for(lambda: client.get("/api/v1/tasks").status_code != 200, auth.CACHE_SECONDS + 5, "a refusal", every=0.2)


def test_a_key_over_its_rate_gets_a_retry_after(start_api: Callable[..., Api]) -> None:
    api = start_api(rate_limit_per_second=2)
    client, other = api.client(api.key("read")), api.client(api.key("read"))
    answers = [client.get("/api/v1/task-types") for _ in range(6)]
    refused = [a for a in answers if a.status_code == 429]
    assert refused
    assert refused[0].json()["code"] == "rate_limited"
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert other.get("/api/v1/task-types").status_code == 200
    registry = api.service.metrics.registry
    assert registry.get_sample_value("taskyard_rate_limited_total", {"scope": "read"}) == len(refused)
