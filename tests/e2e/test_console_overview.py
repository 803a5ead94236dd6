"""The overview, task types and errors, as people on call walk them, with JavaScript and without."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from taskyard_client import ErrorGroup
from tests.support.browsing import Stack, is_sound
from tests.support.fleet import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)]
WAYS = pytest.mark.parametrize(
    "options",
    [{}, {"java_script_enabled": False, "color_scheme": "dark", "viewport": {"width": 360, "height": 800}}],
    ids=["with-js", "without-js-dark-and-narrow"],
)


@pytest.fixture(scope="module")
def stack(console_stack: Stack) -> Stack:
    return console_stack


@pytest.fixture(scope="module")
def group(stack: Stack) -> ErrorGroup:
    """A task has failed for good, and is counted."""
    task = stack.client.submit("diagnostics.fail", {"kind": "permanent"})
    stack.client.wait(task.id, timeout=30)
    return wait_for(lambda: list(stack.client.errors.items(code="diagnostic_permanent")), 60, every=0.2)[0]


@WAYS
def test_the_overview_says_how_it_stands_and_leads_to_what_is_wrong(
    stack: Stack, group: ErrorGroup, options: dict[str, Any]
) -> None:
    stack.client.errors.reopen(group.id)
    with stack.page("/", **options) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^Everything works"))
        expect(page.locator("#queues")).to_contain_text("default")
        expect(page.locator("#codes")).to_contain_text("diagnostic_permanent")
        expect(page.locator("#over-time svg").first).to_be_visible()
        expect(page.locator("#figures")).to_contain_text("Unaccounted for")
        page.get_by_role("link", name="Last day").click()
        expect(page.get_by_role("link", name="Last day")).to_have_attribute("aria-current", "true")
        page.locator("#errors").get_by_role("link", name="diagnostic_permanent").first.click()
        expect(page).to_have_url(re.compile(f"/errors/{group.id}$"))


def test_the_overview_follows_what_happens_and_shows_a_paused_queue(stack: Stack) -> None:
    with stack.page("/") as page:
        page.wait_for_timeout(1_500)  # the page listens
        stack.client.queues.pause("low_priority")
        try:
            # No task has changed by that.
            expect(page.locator("#queues")).to_contain_text("paused", timeout=30_000)
            task = stack.client.submit("diagnostics.echo", {"value": 1}, queue="low_priority")
            reason = page.get_by_role("link", name="The queue low_priority was paused by")
            expect(reason).to_be_visible(timeout=30_000)
            expect(page.get_by_role("heading", level=1)).to_contain_text("a look")
        finally:
            stack.client.queues.resume("low_priority")
        stack.client.wait(task.id, timeout=30)


@WAYS
def test_a_type_is_found_and_a_task_submitted_from_its_form(stack: Stack, options: dict[str, Any]) -> None:
    with stack.page("/task-types", **options) as page:
        page.get_by_label("Name or description").fill("diagnostics.sl")
        page.get_by_role("button", name="Filter").click()
        page.get_by_role("link", name="diagnostics.sleep").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("diagnostics.sleep")
        page.get_by_role("link", name="Submit a task").click()
        page.get_by_label("Seconds", exact=True).or_(page.get_by_label("Seconds *")).first.fill("forever")
        page.locator("summary", has_text="Options").click()
        page.get_by_label("Tags").fill("by-hand")
        page.get_by_label("Wait first (seconds)").fill("-3")
        page.get_by_role("button", name="Submit").click()
        expect(page.locator("#option-delay_seconds-says")).to_contain_text("greater than or equal to 0")
        page.get_by_label("Wait first (seconds)").fill("")
        page.get_by_role("button", name="Submit").click()
        expect(page.locator("[id='field-seconds-says']")).to_contain_text("number")
        expect(page.get_by_label("Tags")).to_have_value("by-hand")
        page.locator("[id='field-seconds']").fill("0")
        page.get_by_role("button", name="Show the request").click()
        expect(page.locator(".requests")).to_contain_text("'diagnostics.sleep'")
        if not options:
            is_sound(page)
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_role("status")).to_contain_text("The task was submitted.")
        task_id = page.url.rpartition("/")[2]
    assert stack.client.wait(task_id, timeout=30).tags == ["by-hand"]


@WAYS
def test_an_error_is_solved_comes_back_and_its_dead_letters_run_again(
    stack: Stack, group: ErrorGroup, options: dict[str, Any]
) -> None:
    with stack.page(f"/errors?code={group.code}", **options) as page:
        page.locator(f"a[href$='/errors/{group.id}']").first.click()
        expect(page.locator("#traceback")).to_contain_text("Traceback")
        page.get_by_role("button", name="Mark as solved").click()
        expect(page.get_by_role("status")).to_contain_text("Marked as solved")
        expect(page.locator("#standing")).to_contain_text("Solved")
        failed = stack.client.submit("diagnostics.fail", {"kind": "permanent"})
        stack.client.wait(failed.id, timeout=30)
        wait_for(lambda: stack.client.errors.get(group.id).state == "returned", 60, every=0.2)
        page.reload()
        expect(page.locator("#standing")).to_contain_text("It was solved, and came back")
        page.get_by_role("link", name="Retry its dead letters").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Retry")
        assert stack.client.task(failed.id).state == "failed", "a preview changes nothing"
        page.get_by_role("button", name="Retry all of them").click()
        expect(page).to_have_url(re.compile("/operations/[0-9a-f-]{36}$"))
        operation = page.url.rpartition("/")[2]
        assert stack.client.wait(operation, timeout=60).state == "succeeded"
        page.goto(f"/errors/{group.id}")
        page.get_by_role("button", name="Mark as solved").click()
        page.get_by_role("button", name="Reopen").click()
        expect(page.get_by_role("status")).to_contain_text("open again")
