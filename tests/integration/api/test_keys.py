"""API keys over HTTP: listed, made, and revoked, never beyond what the key that does it has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from taskyard_api import auth
from taskyard_client import Client
from tests.integration.api.conftest import Api
from tests.support.fleet import wait_for

PATH = "/api/v1/keys"


@pytest.fixture(autouse=True)
def queues_are_made(api: Api) -> None:
    """The API makes the rows of its queues once it has started."""
    wait_for(lambda: api.http.get("/api/v1/queues/low_priority").status_code == 200, 10, "the queue")


def make(client: httpx.Client, name: str = "ci", status: int = 201, **body: Any) -> dict[str, Any]:
    answer = client.post(PATH, json={"name": name, "scopes": ["read"], **body})
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def names(client: httpx.Client) -> list[str]:
    return [key["name"] for key in client.get(PATH).json()["items"]]


def test_a_key_is_shown_once_and_works(api: Api) -> None:
    made = make(api.http, scopes=["read", "submit"], queues=["low_priority"], expires_at="2100-01-01T00:00:00Z")
    assert (made["state"], made["scopes"], made["queues"]) == ("valid", ["read", "submit"], ["low_priority"])
    assert made["key"].startswith(f"ty_{made['prefix']}_")
    told = api.client(made["key"]).get("/api/v1/key").json()
    assert told == {name: made[name] for name in ("id", "name", "scopes", "queues", "expires_at")}
    assert made["key"] not in api.http.get(PATH).text
    with api.engine.connect() as conn:
        assert made["key"] not in str(conn.execute(sa.text("SELECT * FROM audit")).all())


def test_no_answer_with_a_key_is_kept(api: Api) -> None:
    headers = {"Idempotency-Key": "k"}
    answers = [api.http.post(PATH, json={"name": "ci", "scopes": ["read"]}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[1].json()["code"] == "name_taken"
    with api.engine.connect() as conn:
        assert not conn.execute(sa.text("SELECT FROM idempotency_key")).all()


def test_keys_are_listed_newest_first(api: Api) -> None:
    for name in ("one", "two", "three"):
        make(api.http, name)
    first = api.http.get(PATH, params={"limit": 2}).json()
    rest = api.http.get(PATH, params={"cursor": first["next_cursor"]}).json()
    listed = [key["name"] for key in first["items"] + rest["items"]]
    assert listed[:3] == ["three", "two", "one"]
    assert rest["next_cursor"] is None


def test_a_revoked_key_is_refused_within_seconds_and_stays_in_the_list(api: Api) -> None:
    made = make(api.http)
    client = api.client(made["key"])
    assert client.get("/api/v1/key").status_code == 200
    for _ in range(2):
        answer = api.http.post(f"{PATH}/{made['id']}/revoke")
        assert (answer.status_code, answer.json()["state"]) == (200, "revoked")
    wait_for(lambda: client.get("/api/v1/key").status_code == 401, auth.CACHE_SECONDS + 5, "a refusal", every=0.2)
    assert "ci" in names(api.http)
    rows = api.http.get("/api/v1/audit", params={"target": "ci"}).json()["items"]
    assert [row["action"] for row in rows] == ["key.revoke", "key.create"], "a repeat changes nothing"
    assert api.http.post(f"{PATH}/{uuid4()}/revoke").status_code == 404


def test_a_key_gives_no_queue_that_it_may_not_use(api: Api) -> None:
    admin = api.client(api.key("admin", queues=["low_priority", "default"]))
    assert make(admin, "mine")["queues"] == ["default", "low_priority"], "its own, where none is named"
    assert make(admin, "narrow", queues=["default"])["queues"] == ["default"]
    refused = make(admin, "wide", 403, queues=["default", "high_priority"])
    assert refused["code"] == "queue_not_allowed"
    assert make(api.http, "unknown", 422, queues=["no_such"])["errors"][0]["pointer"] == "/queues/0"


def test_a_restricted_key_sees_and_revokes_what_is_within_its_queues(api: Api) -> None:
    others = [make(api.http, "all"), make(api.http, "high", queues=["high_priority"])]
    own = make(api.http, "low", queues=["low_priority"])
    admin = api.client(api.key("admin", queues=["low_priority"], name="admin-of-low"))
    assert names(admin) == ["admin-of-low", "low"]
    for key in others:
        assert admin.post(f"{PATH}/{key['id']}/revoke").status_code == 404
    assert admin.post(f"{PATH}/{own['id']}/revoke").status_code == 200
    assert {key["state"] for key in api.http.get(PATH).json()["items"] if key["name"] in {"all", "high"}} == {"valid"}


def test_a_key_gives_no_longer_life_than_its_own(api: Api) -> None:
    end = datetime.now(UTC) + timedelta(days=1)
    admin = api.client(api.key("admin", expires_at=end))
    assert datetime.fromisoformat(make(admin, "default")["expires_at"]) == end
    sooner, later = (end + timedelta(hours=hours) for hours in (-1, 1))
    assert datetime.fromisoformat(make(admin, "sooner", expires_at=sooner.isoformat())["expires_at"]) == sooner
    assert make(admin, "later", 422, expires_at=later.isoformat())["errors"][0]["pointer"] == "/expires_at"
    for wrong in (datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(days=36_501)):
        assert make(api.http, "wrong", 422, expires_at=wrong.isoformat())["errors"][0]["pointer"] == "/expires_at"


@pytest.mark.parametrize("scope", ["read", "submit", "manage"])
def test_only_an_administrator_sees_and_makes_keys(api: Api, scope: str) -> None:
    client = api.client(api.key(scope))
    assert client.get(PATH).status_code == 403
    assert make(client, status=403)["code"] == "missing_scope"


@pytest.mark.parametrize(
    "body", [{"name": ""}, {"name": "a\nb"}, {"name": "a" * 101}, {"scopes": []}, {"scopes": ["x"]}]
)
def test_what_is_no_key_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert make(api.http, **{"status": 422, "name": "ci", **body})["code"] == "invalid_request"


def test_the_client_makes_and_revokes_keys(api: Api) -> None:
    with Client(api.url, api.key("admin")) as client:
        made = client.keys.create("ci", ["read"], queues=["low_priority"])
        with Client(api.url, made.key) as other:
            assert other.own_key().queues == ["low_priority"]
        assert "ci" in [key.name for key in client.keys.items()]
        assert client.keys.page(limit=1).items[0].key is None
        assert client.keys.revoke(made.id).state == "revoked"
