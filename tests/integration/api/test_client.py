"""The Python client's calls about the platform itself, against the real API."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import pytest

from taskyard.domain.tasks import Failed, Fault
from taskyard_client import AsyncClient, Client, Conflict, NotAllowed, NotFound
from taskyard_client.namespaces import AsyncNamespaces, Namespaces
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker

T = TypeVar("T")

ECHO = {"name": "diagnostics.echo", "params": {"value": 1}}
HOURLY = {"every_seconds": 3600}


def use(api: Api, story: Callable[[AsyncClient], Awaitable[None]], *scopes: str) -> None:
    async def told() -> None:
        async with AsyncClient(api.url, api.key(*scopes or ("admin",))) as client:
            await story(client)

    asyncio.run(told())


async def all_of(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]


def dead(api: Api, count: int = 1) -> list[UUID]:
    worker, found = Worker(api.engine), []
    for _ in range(count):
        task = api.submit()["id"]
        worker.begin(task)
        worker.end(task, Failed(Fault("boom", "It broke.", "It broke.", retryable=False)))
        found.append(UUID(task))
    return found


def methods(kind: type) -> dict[str, list[str]]:
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: list(inspect.signature(f).parameters) for name, f in found if not name.startswith("_")}


def test_both_clients_have_the_same_calls() -> None:
    asynchronous = methods(AsyncClient)
    assert asynchronous.pop("with_key")
    assert methods(Client) == asynchronous
    one, other = Client("http://nobody.invalid"), AsyncClient("http://nobody.invalid")
    names = [name for name, value in vars(one).items() if not name.startswith("_")]
    assert names == [name for name, value in vars(other).items() if not name.startswith("_")]
    for name in names:
        assert methods(type(getattr(one, name))) == methods(type(getattr(other, name))), name
    assert issubclass(Client, Namespaces)
    assert issubclass(AsyncClient, AsyncNamespaces)
    one.close()


def test_one_client_serves_the_keys_of_many_people_over_its_connections(api: Api) -> None:
    async def story(client: AsyncClient) -> None:
        reader = client.with_key(api.key("read", name="anna", queues=["low_priority"]), language="de")
        assert (await reader.own_key()).name == "anna"
        assert (await reader.own_key()).queues == ["low_priority"]
        assert not (await reader.own_key()).has("manage")
        assert (await client.own_key()).has("manage")
        with pytest.raises(NotFound, match="gibt es nicht"):
            await reader.task(UUID(int=0))
        with pytest.raises(NotAllowed):
            await reader.queues.pause("low_priority")
        await client.with_key(api.key("manage"), on_behalf_of="Zoë").queues.pause("default")
        assert (await client.audit.page(limit=1)).items[0].on_behalf_of == "Zoë"
        await reader.close()
        assert (await client.own_key()).has("admin"), "the connections are still open"

    use(api, story)


def test_workers_and_task_types(api: Api) -> None:
    worker = Worker(api.engine)

    async def story(client: AsyncClient) -> None:
        assert worker.id in [w.id for w in await all_of(client.workers.items())]
        assert len((await client.workers.page(limit=1)).items) == 1
        assert (await client.workers.get(worker.id)).state
        assert (await client.workers.pool(worker.id, "2:4")).processes_asked == "2:4"
        assert (await client.workers.restart(worker.id)).restart_asked_at is not None
        assert (await client.workers.drain(worker.id)).drain_asked_at is not None
        assert "diagnostics.echo" in [t.name for t in await client.task_types.items()]
        assert (await client.task_types.get("diagnostics.echo")).params

    use(api, story)


def test_the_load_of_a_queue_and_what_waits_in_it(api: Api) -> None:
    api.submit()

    async def story(client: AsyncClient) -> None:
        assert (await client.queues.load("default")).waiting == 1
        told = await client.queues.waiting("default")
        assert [(one.name, one.tasks, one.held) for one in told.items] == [("diagnostics.echo", 1, 0)]

    use(api, story)


def test_schedules(api: Api) -> None:
    async def story(client: AsyncClient) -> None:
        made = await client.schedules.create("hourly", ECHO, HOURLY, overlap="skip")
        assert (made.overlap, len(made.next_fires)) == ("skip", 5)
        assert not (await client.schedules.pause(made.id)).enabled
        assert [s.id for s in await all_of(client.schedules.items(enabled=False))] == [made.id]
        assert (await client.schedules.page(enabled=True)).items == []
        assert (await client.schedules.resume(made.id)).enabled
        assert (await client.schedules.change(made.id, jitter_seconds=5)).jitter_seconds == 5
        assert (await client.schedules.get(made.id)).version > made.version
        fire = await client.schedules.trigger(made.id)
        assert [f.task_id for f in await all_of(client.schedules.fires(made.id))] == [fire.task_id]
        assert len((await client.schedules.fires_page(made.id, limit=1)).items) == 1
        assert len(await client.schedules.preview(HOURLY, count=3)) == 3
        await client.schedules.delete(made.id)
        with pytest.raises(NotFound):
            await client.schedules.get(made.id)

    use(api, story)


def test_workflows(api: Api) -> None:
    flow = api.http.post("/api/v1/workflows", json={"steps": {"a": ECHO, "b": {**ECHO, "needs": ["a"]}}}).json()["id"]

    async def story(client: AsyncClient) -> None:
        assert [str(w.id) for w in await all_of(client.workflows.items(state=["running", "failed"]))] == [flow]
        assert (await client.workflows.page(limit=1)).items[0].progress.total == 2
        assert len((await client.workflows.get(flow, limit=1)).steps) == 1
        assert [s.name for s in (await client.workflows.get(flow, state="blocked")).steps] == ["b"]
        assert (await client.workflows.cancel(flow)).status == "CANCELLING"
        assert (await client.workflows.timeline(flow)).items[0].kind == "submitted"
        with pytest.raises(Conflict, match="run again"):  # the leader has not ended it yet
            await client.workflows.retry(flow)

    use(api, story)


def test_dead_letters_and_pages_of_tasks(api: Api) -> None:
    found = dead(api, 3)

    async def story(client: AsyncClient) -> None:
        assert [t.id for t in await all_of(client.dead_letters.items(code="boom"))] == found[::-1]
        assert (await client.dead_letters.page(limit=1)).next_cursor is not None
        assert (await client.dead_letters.retry(code="boom", dry_run=True)).matched == 3
        assert [group.count for group in (await client.dead_letters.groups(code="boom")).items] == [3]
        for _ in range(2):  # a repeat with its key is given the first answer
            assert (await client.dead_letters.discard(found[:1], idempotency_key="once")).changed == 1
        assert (await client.dead_letters.retry(found[1:2])).changed == 1
        first = await client.tasks_page(limit=2)
        second = await client.tasks_page(limit=2, cursor=first.next_cursor)
        assert [t.id for t in first.items + second.items] == found[::-1]
        assert [e.kind for e in (await client.timeline(found[0])).items][:2] == ["submitted", "started"]

    use(api, story)


def test_the_audit_log_webhook_endpoints_and_health(api: Api) -> None:
    async def story(client: AsyncClient) -> None:
        made = await client.webhook_endpoints.create("https://receiver.example", description="ours")
        assert made.secret is not None
        assert (await client.webhook_endpoints.rotate(made.id, grace_seconds=60)).secret not in {None, made.secret}
        assert (await client.webhook_endpoints.get(made.id)).secret is None
        assert (await client.webhook_endpoints.enable(made.id)).disabled_at is None
        assert [e.id for e in await all_of(client.webhook_endpoints.items())] == [made.id]
        await client.webhook_endpoints.delete(made.id)
        assert (await client.webhook_endpoints.page(limit=1)).items == []
        told = await all_of(client.audit.items(target=str(made.id)))
        assert [e.action for e in told][::-1] == [
            f"webhook_endpoint.{v}" for v in ("create", "rotate", "enable", "delete")
        ]
        assert (await client.audit.page(limit=1)).items[0].target.type == "webhook_endpoint"
        health = await client.health()
        assert health.components["database"].status == "healthy"

    use(api, story)


def test_the_client_for_threads_makes_the_same_calls(api: Api) -> None:
    found = dead(api, 2)
    with Client(api.url, api.key("admin")) as client:
        assert [t.id for t in client.dead_letters.items()] == found[::-1]
        assert [t.id for t in client.tasks_page().items] == found[::-1]
        assert client.health().status
        assert client.own_key().has("submit")
        made = client.schedules.create("hourly", ECHO, HOURLY)
        assert client.schedules.trigger(made.id).by_hand
        client.schedules.delete(made.id)
        told: list[Any] = [client.workers, client.task_types, client.workflows, client.audit, client.webhook_endpoints]
        assert all(list(namespace.items()) is not None for namespace in told)


def test_users_usage_records_and_selection_runs(api: Api) -> None:
    async def story(client: AsyncClient) -> None:
        user = await client.users.put(7, email="ada@example.org", name="Ada")
        assert (await client.users.get(7)).email == user.email
        welcome, erasing = await client.users.send_welcome(7), await client.users.erase(7, dry_run=True)
        assert (await client.task(welcome.task_id)).name == "email.send_welcome"
        assert (await client.task(erasing.task_id)).params["dry_run"] is True
        now = datetime.now(UTC)
        assert await client.usage.report([{"model": "a", "tokens": 3, "at": now}]) == 1
        assert [m["tokens"] for m in (await client.usage.analytics(by="total")).models] == [3]
        assert (await client.usage.models()).ollama_models.models == []
        assert await all_of(client.records.items("none")) == []
        assert (await client.records.page("none", limit=1)).next_cursor is None
        fields = {"gsheet_id": "1aB-_", "tab_name": "People"}
        run = await client.selection_runs.start("load_gsheet", **fields)
        assert (await client.selection_runs.get(run.id)).status == "PENDING"
        assert [r.id for r in await all_of(client.selection_runs.items(kind="load_gsheet"))] == [run.id]
        assert len((await client.selection_runs.page(limit=1)).items) == 1

    use(api, story)


def test_what_is_made_of_files(api: Api) -> None:
    async def story(client: AsyncClient) -> None:
        item = await client.files.upload(b"GIF89a", name="a.gif", content_type="image/gif")
        assert (await client.files.conversion(item.item_id)).status == "NOT_STARTED"
        made = await client.files.thumbnail(item.item_id, 8, 8)
        assert (await client.task(made.task_id)).name == "files.generate_thumbnail"
        raster = await client.files.convert_to_raster(item.item_id, bounds=[0, 0, 1, 1], crs="EPSG:4326")
        assert (await client.files.conversion(item.item_id)).task_id == raster.task_id

    use(api, story)
