"""Queues, workers, the audit log, keys and the broker, as people on call walk them, with JavaScript and without."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Error, expect

from taskyard_client import NewTask, Task, Worker
from tests.support.browsing import Stack, is_sound
from tests.support.fleet import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)]
WAYS = pytest.mark.parametrize(
    "options",
    [{}, {"java_script_enabled": False, "color_scheme": "dark", "viewport": {"width": 360, "height": 800}}],
    ids=["with-js", "without-js-dark-and-narrow"],
)
QUEUE = "console_fleet"


@pytest.fixture(scope="module")
def stack(console_stack: Stack) -> Stack:
    return console_stack


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[Worker]:
    """It runs a task, and two wait."""
    with stack.worker(QUEUE) as made:
        sleeps = [NewTask("diagnostics.sleep", {"seconds": 600}, queue=QUEUE) for _ in range(3)]
        stack.client.submit_many(sleeps)
        wait_for(lambda: stack.client.workers.get(made.id).tasks, 30)
        yield made


@WAYS
def test_a_queue_is_paused_limited_and_resumed(stack: Stack, worker: Worker, options: dict[str, Any]) -> None:
    with stack.page("/queues", **options) as page:
        page.get_by_role("link", name=QUEUE).click()
        expect(page.locator("#serving")).to_contain_text(worker.name)
        expect(page.locator("#types")).to_contain_text("diagnostics.sleep")
        page.get_by_role("button", name="Pause", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("what runs goes on")
        expect(page.locator("#standing")).to_contain_text("Paused by bootstrap")
        page.get_by_label("Tasks at once").fill("many")
        page.get_by_role("button", name="Set the limits").click()
        expect(page.locator("#concurrent-says")).to_contain_text("This is not a number.")
        page.get_by_label("Tasks at once").fill("0")
        page.get_by_role("button", name="Set the limits").click()
        expect(page.get_by_label("Tasks at once")).to_have_attribute("aria-invalid", "true")
        page.get_by_label("Tasks at once").fill("3")
        page.get_by_label("Tasks begun a second").fill("2.5")
        page.get_by_role("button", name="Set the limits").click()
        expect(page.locator("#limits-now")).to_contain_text("3 at once, 2.5 a second")
        page.get_by_label("Tasks at once").fill("")
        page.get_by_label("Tasks begun a second").fill("")
        page.get_by_role("button", name="Set the limits").click()
        expect(page.locator("#limits-now")).to_contain_text("The queue has none.")
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    queue = stack.client.queues.get(QUEUE)
    assert (queue.paused, queue.concurrent, queue.per_second) == (False, None, None)


@WAYS
def test_a_purge_shows_what_it_would_cancel_and_cancels_that_alone(
    stack: Stack, worker: Worker, options: dict[str, Any]
) -> None:
    old = stack.client.submit("diagnostics.echo", {"value": 1}, queue=QUEUE, delay_seconds=3_600)
    with stack.page(f"/queues/{QUEUE}", **options) as page:
        page.get_by_role("button", name="Purge").click()
        expect(page.get_by_role("link", name=str(old.id))).to_be_visible()
        if not options:
            is_sound(page)
        new = stack.client.submit("diagnostics.echo", {"value": 1}, queue=QUEUE, delay_seconds=3_600)
        page.get_by_label("to confirm").fill(QUEUE)
        page.get_by_role("button", name="Cancel them").click()
        expect(page.get_by_role("status")).to_contain_text(re.compile("tasks? cancelled"))
    assert stack.client.task(old.id).state == "cancelled"
    assert stack.client.cancel(new.id).status == "CANCELLED"


@WAYS
def test_a_worker_shows_what_it_runs_and_does_as_it_is_asked(stack: Stack, options: dict[str, Any]) -> None:
    with stack.worker(QUEUE) as made, stack.page("/workers", **options) as page:
        stack.client.submit("diagnostics.sleep", {"seconds": 600}, queue=QUEUE)
        (task,) = wait_for(lambda: stack.client.workers.get(made.id).tasks, 60)
        page.get_by_role("link", name=made.name).click()
        expect(page.locator("#children")).to_contain_text("diagnostics.sleep")
        page.get_by_role("textbox", name="Processes").fill("many")
        page.get_by_role("button", name="Set the number").click()
        expect(page.get_by_role("textbox", name="Processes")).to_have_attribute("aria-invalid", "true")
        page.get_by_role("textbox", name="Processes").fill("1:2")
        page.get_by_role("button", name="Set the number").click()
        expect(page.get_by_role("status")).to_contain_text("1:2")
        page.get_by_role("button", name="Replace its processes").click()
        expect(page.get_by_role("status")).to_contain_text("replace its processes")
        page.get_by_role("button", name="Drain").click()
        expect(page.locator("main")).to_contain_text("It runs 1 task")
        if not options:
            is_sound(page)
        page.get_by_role("button", name="Drain it").click()
        expect(page.locator("#standing")).to_contain_text("Asked to drain")
        stack.client.cancel(task.id)
        wait_for(lambda: stack.client.workers.get(made.id).state == "stopped", 60)
        page.goto("/workers")
        expect(page.locator("#gone tr", has_text=made.name)).to_contain_text("It was asked to drain")


@pytest.fixture(scope="module")
def crashed(stack: Stack) -> Task:
    task = stack.client.submit("diagnostics.crash", {"times": 1})
    return stack.client.wait(task.id, timeout=60)


@WAYS
def test_a_crash_tells_its_cause(stack: Stack, crashed: Task, options: dict[str, Any]) -> None:
    with stack.page("/crashes?name=diagnostics.crash", **options) as page:
        row = page.locator("#crashes tr", has=page.locator(f"a[href$='{crashed.id}']"))
        expect(row.first).to_contain_text("SIGKILL")
        page.get_by_label("Queue").fill("low_priority")
        page.get_by_role("button", name="Filter").click()
        expect(page.locator("#crashes")).to_contain_text("Nothing has crashed.")


@WAYS
def test_a_key_is_made_shown_once_and_revoked(stack: Stack, options: dict[str, Any]) -> None:
    name = f"made by hand (a+b) {uuid4().hex[:6]}"
    with stack.page("/keys", **options) as page:
        page.get_by_role("textbox", name="Name").fill(name)
        page.get_by_role("button", name="Make the key").click()
        expect(page.locator("main")).to_contain_text("The key was not made.")
        page.get_by_role("checkbox", name="read").check()
        page.get_by_role("checkbox", name="default").check()
        page.get_by_label("Expires").fill("2001-01-01T00:00:00")
        page.get_by_role("button", name="Make the key").click()
        expect(page.get_by_label("Expires")).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_role("checkbox", name="default")).to_be_checked()
        page.get_by_label("Expires").fill("")
        page.get_by_role("button", name="Make the key").click()
        key = page.get_by_label("Key", exact=True).inner_text().strip()
        assert re.fullmatch(r"ty_\w{8}_[\w-]+", key)
        if not options:
            is_sound(page)
        page.get_by_role("link", name="I have it").click()
        expect(page.get_by_role("heading", name="Make a key")).to_be_visible()
        expect(page.locator("body")).not_to_contain_text(key)
        with pytest.raises(Error, match="ERR_CACHE_MISS"):  # the browser asks whether to send the form again
            page.go_back()
        expect(page.locator("body")).not_to_contain_text(key)
        page.goto("/keys")
        page.locator("tr", has_text=name).get_by_role("button", name="Revoke").click()
        page.get_by_label("to confirm").fill(name)
        page.get_by_role("button", name="Revoke it").click()
        expect(page.get_by_role("status")).to_contain_text("is revoked")
        expect(page.locator("tr", has_text=name)).to_contain_text("revoked")
    (made,) = [one for one in stack.client.keys.items() if one.name == name]
    assert (made.scopes, made.queues, made.state) == (["read"], ["default"], "revoked")


@WAYS
def test_the_audit_log_is_filtered_in_the_address_and_leads_to_what_was_changed(
    stack: Stack, worker: Worker, options: dict[str, Any]
) -> None:
    stack.client.queues.limit(QUEUE, concurrent=7)
    stack.client.queues.limit(QUEUE, concurrent=None)
    with stack.page("/audit", **options) as page:
        page.get_by_label("Action").select_option("queue.limit")
        page.get_by_label("Of what").fill(QUEUE)
        page.get_by_role("button", name="Filter").click()
        expect(page).to_have_url(re.compile("action=queue.limit&.*target=console_fleet"))
        row = page.locator("tbody tr").nth(1)
        row.locator("summary", has_text="Details").click()
        expect(row).to_contain_text("concurrent")
        row.get_by_role("link", name=QUEUE).click()
        expect(page.get_by_role("heading", name=QUEUE)).to_be_visible()


@WAYS
def test_the_broker_says_how_full_it_is_and_what_that_means(stack: Stack, options: dict[str, Any]) -> None:
    with stack.page("/broker", **options) as page:
        expect(page.locator("#standing")).to_contain_text("Nothing is lost when Redis is emptied")
        expect(page.locator("#server")).to_contain_text("noeviction")
        expect(page.locator("#queues")).to_contain_text("default")


def test_pages_follow_what_happens(stack: Stack, worker: Worker) -> None:
    with stack.page("/workers") as page:
        beat = page.locator("#workers tr", has_text=worker.name).locator("[data-label=Heartbeat] time")
        first = beat.get_attribute("datetime")
        expect(beat).not_to_have_attribute("datetime", first or "", timeout=30_000)


def test_readers_see_no_buttons_and_no_pages_of_administrators(stack: Stack, worker: Worker) -> None:
    key = stack.client.keys.create(f"reader-{uuid4().hex[:6]}", ["read"], queues=[QUEUE]).key
    with stack.page(signed_in=False) as page:
        page.goto(f"/sign-in?next=/queues/{QUEUE}")
        page.get_by_label("API key").fill(key or "")
        page.get_by_role("button", name="Sign in with the key").click()
        expect(page.get_by_role("heading", name=QUEUE)).to_be_visible()
        for name in ("Pause", "Purge", "Set the limits"):
            expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
        expect(page.get_by_role("link", name="Keys")).to_have_count(0)
        page.goto(f"/workers/{worker.id}")
        expect(page.get_by_role("button", name="Drain")).to_have_count(0)
        for path in ("/keys", "/audit"):
            page.goto(path)
            expect(page.get_by_role("alert")).to_contain_text("Your sign-in does not allow this.")
        page.goto("/queues/default")
        expect(page.get_by_role("alert")).to_contain_text("There is no such queue")
