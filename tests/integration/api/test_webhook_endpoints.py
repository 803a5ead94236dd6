"""Webhook endpoints over HTTP: who sees them, what is shown of them, and which callbacks they allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from taskyard.domain.ids import new_id

from .conftest import Api

PATH = "/api/v1/webhook-endpoints"
TASKS = "/api/v1/tasks"
HOOKS = "https://receiver.example/hooks"


def register(http: httpx.Client, url: str = HOOKS) -> dict[str, Any]:
    answer = http.post(PATH, json={"url": url})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"{PATH}/{made['id']}"
    return made


def wish(url: str, **more: Any) -> dict[str, Any]:
    return {"name": "diagnostics.echo", "params": {"value": 1}, "callback_url": url, **more}


def stored(api: Api, task_id: str) -> Any:
    with api.engine.connect() as conn:
        return conn.execute(sa.text("SELECT callback FROM task WHERE id = :id"), {"id": task_id}).scalar_one()


def test_a_secret_is_shown_once_and_stored_sealed(api: Api) -> None:
    made = register(api.http)
    assert made["secret"].startswith("whsec_")
    at = f"{PATH}/{made['id']}"
    rotated = api.http.post(f"{at}/rotate").json()
    assert rotated["secret"] != made["secret"]
    assert rotated["previous_until"] is not None
    shown = api.http.get(at)
    listed = api.http.get(PATH)
    assert listed.json()["items"] == [shown.json()]
    audited = api.http.get("/api/v1/audit")
    with api.engine.connect() as conn:
        row = conn.exec_driver_sql("SELECT row_to_json(e)::text FROM webhook_endpoint e").scalar_one()
    for secret in (made["secret"], rotated["secret"]):
        for text in (shown.text, listed.text, audited.text, row):
            assert secret not in text
            assert secret.removeprefix("whsec_") not in text


def test_a_withdrawn_secret_signs_no_more(api: Api) -> None:
    at = f"{PATH}/{register(api.http)['id']}"
    api.http.post(f"{at}/rotate", params={"grace_seconds": 0})
    assert api.http.get(at).json()["previous_until"] is None


def test_an_endpoint_is_gone_once_it_was_deleted(api: Api) -> None:
    at = f"{PATH}/{register(api.http)['id']}"
    assert api.http.delete(at).status_code == 204
    for answer in (api.http.get(at), api.http.delete(at), api.http.post(f"{at}/rotate"), api.http.post(f"{at}/enable")):
        assert answer.status_code == 404
    assert api.http.get(PATH).json()["items"] == []


def test_endpoints_need_the_scope_manage(api: Api) -> None:
    at = f"{PATH}/{register(api.http)['id']}"
    other = api.client(api.key("read", "submit"))
    for answer in (
        other.get(PATH), other.post(PATH, json={"url": HOOKS}), other.get(at), other.delete(at),
        other.post(f"{at}/rotate"), other.post(f"{at}/enable"),
    ):  # fmt: skip
        assert (answer.status_code, answer.json()["scope"]) == (403, "manage")


def test_a_restricted_key_sees_and_uses_its_own_endpoints_only(api: Api) -> None:
    theirs = register(api.http, "https://theirs.example/")
    own = api.client(api.key("manage", "submit", "read", queues=["default"], name="own"))
    mine = register(own)
    assert [e["id"] for e in own.get(PATH).json()["items"]] == [mine["id"]]
    assert own.get(f"{PATH}/{mine['id']}").json()["submitted_by"] == "own"
    at = f"{PATH}/{theirs['id']}"
    for answer in (own.get(at), own.delete(at), own.post(f"{at}/rotate"), own.post(f"{at}/enable")):
        assert answer.status_code == 404
    assert own.post(TASKS, json=wish(f"{HOOKS}/a")).status_code == 202
    assert own.post(TASKS, json=wish("https://theirs.example/a")).json()["code"] == "callback_not_registered"
    assert {e["id"] for e in api.http.get(PATH).json()["items"]} == {mine["id"], theirs["id"]}


@pytest.mark.parametrize(
    "url", ["ftp://h/", "https://user:pw@h/", "http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/", "https://h/?a"]
)  # fmt: skip
def test_an_address_that_nothing_may_be_sent_to_is_refused_when_it_is_registered(api: Api, url: str) -> None:
    answer = api.http.post(PATH, json={"url": url})
    assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (422, ["/url"])


def test_a_callback_lies_under_an_endpoint_and_the_longest_one_signs_it(api: Api) -> None:
    outer, inner = register(api.http, "https://receiver.example/"), register(api.http)
    accepted = api.http.post(TASKS, json=wish(f"{HOOKS}/a?b=c", callback_on=["progress", "final"])).json()
    assert (accepted["callback_url"], accepted["callback_on"]) == (f"{HOOKS}/a?b=c", ["progress", "final"])
    read = api.http.get(f"{TASKS}/{accepted['id']}").json()
    assert (read["callback_url"], read["callback_on"]) == (accepted["callback_url"], accepted["callback_on"])
    assert stored(api, accepted["id"])["endpoint_id"] == inner["id"]
    other = api.http.post(TASKS, json=wish("https://receiver.example/hooks-of-others")).json()
    assert (stored(api, other["id"])["endpoint_id"], other["callback_on"]) == (outer["id"], ["final"])
    assert stored(api, other["id"])["support_url"] == "https://support.example.org", "to be told with an error"


def test_a_callback_under_no_endpoint_is_refused_with_its_place_in_the_batch(api: Api) -> None:
    register(api.http)
    tasks = [wish(HOOKS), wish("https://evil.example/"), wish("no address"), {**wish(HOOKS), "callback_url": None}]
    tasks[3]["callback_on"] = ["final"]
    answer = api.http.post(f"{TASKS}/batch", json={"tasks": tasks})
    assert answer.status_code == 422
    pointers = {e["pointer"] for e in answer.json()["errors"]}
    assert pointers == {"/tasks/1/callback_url", "/tasks/2/callback_url", "/tasks/3/callback_on"}
    assert api.count_tasks() == 0


def test_a_default_endpoint_signs_for_all_other_addresses(start_api: Callable[..., Api]) -> None:
    default = str(new_id())
    api = start_api(webhook_default_endpoint=default)
    made = register(api.http)
    elsewhere = api.http.post(TASKS, json=wish("https://elsewhere.example/x")).json()
    assert stored(api, elsewhere["id"])["endpoint_id"] == default
    under = api.http.post(TASKS, json=wish(HOOKS)).json()
    assert stored(api, under["id"])["endpoint_id"] == made["id"]
    assert api.http.post(TASKS, json=wish("http://10.0.0.1/")).status_code == 422


def test_results_are_told_on_behalf_of_keys_with_read_only(api: Api) -> None:
    register(api.http)
    blind = api.client(api.key("submit"))
    answer = blind.post(TASKS, json=wish(HOOKS)).json()
    assert "callback_url" not in answer
    assert stored(api, answer["id"])["told"] is False
    seeing = api.client(api.key("submit", "read"))
    assert stored(api, seeing.post(TASKS, json=wish(HOOKS)).json()["id"])["told"] is True


def test_what_is_told_of_a_task_is_shown_to_keys_that_may_see_that_task(api: Api) -> None:
    """The delivery is in the queue `default`, and holds the parameters and the result of a task in another one."""
    register(api.http)
    default = api.client(api.key("read", queues=["default"]))
    both = api.client(api.key("read", queues=["default", "low_priority"]))
    about = {}
    for queue in ("default", "low_priority"):
        task = api.http.post(TASKS, json=wish(f"{HOOKS}/{queue}?token=x", queue=queue, delay_seconds=60)).json()
        api.http.post(f"{TASKS}/{task['id']}/cancel")
        about[task["id"]] = queue
    listed = api.http.get(TASKS, params={"name": "webhooks.deliver"}).json()["items"]
    assert {item["params"]["payload"]["data"]["id"] for item in listed} == set(about)
    for item in listed:
        at, sees = f"{TASKS}/{item['id']}", about[item["params"]["payload"]["data"]["id"]] == "default"
        assert both.get(at).json()["params"] == item["params"]
        assert default.get(at).json()["params"] == (item["params"] if sees else {})
    assert [
        bool(item["params"]) for item in default.get(TASKS, params={"name": "webhooks.deliver"}).json()["items"]
    ] == [about[item["params"]["payload"]["data"]["id"]] == "default" for item in listed]


def test_nobody_submits_a_delivery_of_their_own(api: Api) -> None:
    """They could have any content signed, and sent anywhere."""
    made = register(api.http)
    params = {"endpoint_id": made["id"], "url": HOOKS, "payload": {"type": "task.succeeded"}}
    answer = api.http.post(TASKS, json={"name": "webhooks.deliver", "params": params})
    assert (answer.status_code, answer.json()["code"]) == (422, "reserved_task_type")


def test_without_secret_keys_there_are_no_endpoints(start_api: Callable[..., Api]) -> None:
    api = start_api(secret_keys="")
    assert api.http.post(PATH, json={"url": HOOKS}).json()["code"] == "secrets_not_configured"
