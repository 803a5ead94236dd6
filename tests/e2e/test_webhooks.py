"""What a task tells its receiver: real processes, and a real HTTP server at the other end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.support.docs import code_blocks
from tests.support.fleet import Fleet, wait_for
from tests.support.receiver import Message, Receiver, receiver

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def other_end() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def start(fleet: Fleet, *, allowed: str = "127.0.0.0/8") -> None:
    fleet.environment["TASKYARD_OUTBOUND_NETWORKS"] = allowed
    fleet.start_all()


def post(fleet: Fleet, path: str, body: object = None, **query: Any) -> Any:
    answer = fleet.http.post(path, json=body, params=query) if body is not None else fleet.http.post(path, params=query)
    assert answer.status_code < 300, answer.text
    return answer.json()


def submit(fleet: Fleet, url: str, name: str = "diagnostics.echo", **more: Any) -> str:
    params = more.pop("params", {"value": 1})
    return str(post(fleet, "/tasks", {"name": name, "params": params, "callback_url": url, **more})["id"])


def got(other_end: Receiver, fleet: Fleet, count: int, seconds: float = 30) -> list[Message]:
    try:
        wait_for(lambda: len(other_end.got) >= count, seconds, f"{count} messages")
    except AssertionError as e:
        raise AssertionError(f"{e}\n{deliveries(fleet)}\n{fleet.logs()[-6000:]}") from None
    return other_end.got


def deliveries(fleet: Fleet) -> list[Any]:
    return [*fleet.query("SELECT * FROM task WHERE name = 'webhooks.deliver' ORDER BY id")]


def verified(secret: str, message: Message) -> bool:
    """By the receiver of docs/webhooks.md, and by the library of Standard Webhooks."""
    documented: dict[str, Any] = {}
    exec(code_blocks("webhooks.md")[0], documented)
    Webhook(secret).verify(message.body, message.headers)
    return bool(documented["verified"](secret, message.headers, message.body))


def test_every_end_is_told_once_signed_and_by_a_task_without_a_callback(fleet: Fleet, other_end: Receiver) -> None:
    start(fleet)
    endpoint = post(fleet, "/webhook-endpoints", {"url": f"{other_end.url}/hooks"})
    url = f"{other_end.url}/hooks/a?b=c"
    told: dict[str, str] = {}
    told[submit(fleet, url)] = "task.succeeded"
    told[submit(fleet, url, "diagnostics.fail", params={"kind": "permanent"})] = "task.failed"
    cancelled = submit(fleet, url, delay_seconds=600)
    told[cancelled] = "task.cancelled"
    post(fleet, f"/tasks/{cancelled}/cancel", {})
    plain = str(post(fleet, "/tasks", {"name": "diagnostics.echo", "params": {"value": 2}})["id"])
    fleet.wait_state(plain, "succeeded")

    messages = got(other_end, fleet, 3)
    assert {m.json["data"]["id"]: m.type for m in messages} == told
    assert {m.path for m in messages} == {"/hooks/a?b=c"}
    assert all(verified(endpoint["secret"], m) for m in messages)
    by_type = {m.type: m.json["data"] for m in messages}
    assert by_type["task.succeeded"]["result"] == {"value": 1}
    assert set(by_type["task.failed"]["error"]) == {"code", "message"}
    found = deliveries(fleet)
    assert {m.headers["webhook-id"] for m in messages} == {str(d.id) for d in found}
    assert [d.callback for d in found] == [None] * 3
    assert all(d.id.version == 7 for d in found)
    fleet.wait_final([str(d.id) for d in found], 30)
    assert len(deliveries(fleet)) == len(other_end.got) == 3, "an end is told once, and a delivery tells nothing"
    assert endpoint["secret"] not in fleet.logs()


def test_a_refused_message_comes_again_as_the_same_one_and_a_410_disables(fleet: Fleet, other_end: Receiver) -> None:
    start(fleet)
    endpoint = post(fleet, "/webhook-endpoints", {"url": other_end.url})
    at = f"/webhook-endpoints/{endpoint['id']}"
    other_end.answers += [(503, {"Retry-After": "1"}), (500, {"Retry-After": "0"})]
    submit(fleet, other_end.url)
    first, *others = got(other_end, fleet, 3)
    assert [(m.headers["webhook-id"], m.body) for m in others] == [(first.headers["webhook-id"], first.body)] * 2
    assert all(verified(endpoint["secret"], m) for m in other_end.got)

    rotated = post(fleet, f"{at}/rotate")
    submit(fleet, other_end.url)
    both = got(other_end, fleet, 4)[-1]
    assert len(both.headers["webhook-signature"].split()) == 2
    assert all(verified(secret, both) for secret in (endpoint["secret"], rotated["secret"]))
    withdrawn = post(fleet, f"{at}/rotate", grace_seconds=0)
    submit(fleet, other_end.url)
    one = got(other_end, fleet, 5)[-1]
    assert len(one.headers["webhook-signature"].split()) == 1
    assert verified(withdrawn["secret"], one)

    other_end.answers.append((410, {}))
    submit(fleet, other_end.url)
    wait_for(lambda: fleet.http.get(at).json()["disabled_at"], 20, "the endpoint to be disabled")
    gone = deliveries(fleet)[-1]
    fleet.wait_state(str(gone.id), "failed")
    assert fleet.http.get(f"/tasks/{gone.id}").json()["error"]["code"] == "webhook_gone"
    submit(fleet, other_end.url)
    wait_for(lambda: len(deliveries(fleet)) == 5, 20, "the next delivery")
    fleet.wait_state(str(deliveries(fleet)[-1].id), "succeeded")
    assert deliveries(fleet)[-1].result["reason"] == "endpoint_disabled"
    assert len(other_end.got) == 6, "nothing was sent"
    post(fleet, f"{at}/enable")
    submit(fleet, other_end.url)
    got(other_end, fleet, 7)
    actions = {r.action for r in fleet.query("SELECT action FROM audit WHERE target_type = 'webhook_endpoint'")}
    assert actions == {f"webhook_endpoint.{a}" for a in ("create", "rotate", "disable", "enable")}


@pytest.mark.long
def test_of_progress_the_newest_is_told_and_rarely(fleet: Fleet, other_end: Receiver) -> None:
    start(fleet)
    post(fleet, "/webhook-endpoints", {"url": other_end.url})
    params = {"steps": 80, "pause_seconds": 0.1}
    task_id = submit(fleet, other_end.url, "tests.steps", params=params, callback_on=["progress", "final"])
    fleet.wait_state(task_id, "succeeded", seconds=60)
    wait_for(lambda: other_end.of_type("task.succeeded"), 20, "the end")
    progress = [m.json["data"]["progress"] for m in other_end.of_type("task.progress")]
    assert 2 <= len(progress) <= 4, "of eighty reports in eight seconds and more"
    currents = [p["current"] for p in progress]
    assert currents == sorted(set(currents))
    assert currents[1] - currents[0] > 20, "the newest, not the one that came after the first"


def test_an_address_that_is_not_public_is_refused_and_never_connected_to(fleet: Fleet, other_end: Receiver) -> None:
    """The name is checked when it is resolved for the delivery, whatever it meant before."""
    start(fleet, allowed="192.0.2.0/24")
    refused = fleet.http.post("/webhook-endpoints", json={"url": other_end.url})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/url")
    by_name = f"http://localhost:{other_end.port}"
    post(fleet, "/webhook-endpoints", {"url": by_name})
    submit(fleet, by_name)
    wait_for(lambda: deliveries(fleet), 20, "the delivery")
    (delivery,) = deliveries(fleet)
    fleet.wait_state(str(delivery.id), "failed")
    assert fleet.http.get(f"/tasks/{delivery.id}").json()["error"]["code"] == "webhook_address_refused"
    assert not other_end.got
