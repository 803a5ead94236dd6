"""Live pages: what a slow page costs, and what it is told."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import httpx2
import pytest
from falcon.testing import ASGIConductor

from taskyard_client.models import Change, Missed
from taskyard_console import live
from taskyard_console.access import Access
from taskyard_console.live import Live, Signal, TooManyPages, Watch
from taskyard_console.pages.live import wanted
from tests.unit.console.console_app import Browser


def change(queue: str = "default", state: str = "running", attempt: int = 1) -> Change:
    return Change(task_id=uuid4(), name="a.b", queue=queue, state=state, attempt=attempt)


async def told(watch: Watch) -> Signal | None:
    signals = watch.signals()
    found = await anext(signals)
    await signals.aclose()
    return found


def test_a_page_is_told_at_its_start_and_then_only_of_what_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.01)

    async def follow() -> list[Signal | None]:
        watch = Watch(lambda one: one.queue == "mail")
        found = [await told(watch)]
        watch.tell(change("other"))
        found.append(await told(watch))
        watch.tell(change("mail"))
        found.append(await told(watch))
        watch.tell(Missed())
        found.append(await told(watch))
        watch.away()
        found.append(await told(watch))
        watch.tell(Missed())
        found.append(await told(watch))
        return found

    changed = Signal.CHANGED
    assert asyncio.run(follow()) == [changed, None, changed, changed, Signal.AWAY, changed]


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (["failed"], {"failed", "retried"}),
        (["queued"], {"submitted", "failed", "retried", "began"}),
        ([], {"submitted", "succeeded", "failed", "retried", "began"}),
    ],
)
def test_a_list_of_some_states_is_told_what_comes_to_them_and_what_leaves_them(
    states: list[str], told: set[str]
) -> None:
    changes = {
        "submitted": change(state="queued", attempt=0),
        "began": change(state="running", attempt=1),
        "succeeded": change(state="succeeded", attempt=1),
        "failed": change(state="failed", attempt=1),
        "retried": change(state="queued", attempt=1),
    }
    reader = Access("ci", frozenset({"read"}), None, "ty_a")
    is_wanted = wanted(reader, {"queue": "default"}, states)
    assert {name for name, one in changes.items() if is_wanted(one)} == told
    assert not is_wanted(change("other", state="failed"))


def test_a_slow_page_loses_signals_and_costs_no_memory() -> None:
    async def follow() -> int:
        watch = Watch(lambda _: True)
        for _ in range(100_000):
            watch.tell(change())
        count = 0
        watch.close()
        async for _ in watch.signals():
            count += 1
        return count

    assert asyncio.run(follow()) == 0


def test_pages_of_one_console_share_a_subscription_and_their_number_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "MAX_PAGES", 3)

    async def open_many() -> int:
        events = Live("http://127.0.0.1:9", own_key="ty_own")
        try:
            with events.watch("ty_a", lambda _: True), events.watch("ty_b", lambda _: True):
                with events.watch("ty_c", lambda _: True), pytest.raises(TooManyPages):
                    events.watch("ty_d", lambda _: True).__enter__()
                return len(events._subscriptions)
        finally:
            await events.stop()

    assert asyncio.run(open_many()) == 1


async def stream_of(browser: Browser, path: str, headers: dict[str, str]) -> tuple[httpx2.Headers, bytes]:
    """The head of the answer and its first event; then the browser is closed."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    asked = {"Host": "console.test", "Accept": "text/event-stream", "Cookie": cookie, **headers}
    async with (
        asyncio.timeout(5),
        ASGIConductor(browser.app) as conductor,
        conductor.simulate_get_stream(path, headers=asked) as answer,
    ):
        assert answer.status_code == 200
        first = await answer.stream.read()
    return httpx2.Headers(answer.headers), first


@pytest.mark.parametrize("headers", [{}, {"Last-Event-ID": "7"}], ids=["first", "again"])
def test_a_stream_is_kept_by_no_proxy_and_begins_by_telling_the_page_to_read_itself(headers: dict[str, str]) -> None:
    """What was missed between two streams is never told, so that no event has an id to come back with."""
    browser = Browser()
    browser.sign_in()
    head, first = asyncio.run(stream_of(browser, "/live?state=failed", headers))
    assert head["content-type"] == "text/event-stream"
    assert (head["cache-control"], head["x-accel-buffering"]) == ("no-store", "no")
    assert "content-length" not in head
    assert first == b"event: change\ndata: -\n\n"
