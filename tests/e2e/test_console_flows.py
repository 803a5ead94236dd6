"""Schedules and workflows in the console, as people walk them, with JavaScript and without."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from taskyard_client import Workflow
from taskyard_client.management_models import Schedule
from tests.support.browsing import Stack, is_sound

pytestmark = [pytest.mark.e2e, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)]
WAYS = pytest.mark.parametrize(
    "options",
    [{}, {"java_script_enabled": False, "color_scheme": "dark", "viewport": {"width": 360, "height": 800}}],
    ids=["with-js", "without-js-dark-and-narrow"],
)
HOSTILE = "<script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def stack(console_stack: Stack) -> Stack:
    return console_stack


@pytest.fixture
def schedule(stack: Stack) -> Schedule:
    """Overdue from the beginning: its last task has not ended."""
    task = {"name": "diagnostics.sleep", "params": {"seconds": 600}}
    return stack.client.schedules.create(f"crawl {uuid4()}", task, {"every_seconds": 3_600}, overlap="skip")


@pytest.fixture(scope="module")
def workflow(stack: Stack) -> Workflow:
    """One of its steps has failed, and one waits for another."""
    steps = {
        **{f"page-{i}": {"name": "diagnostics.echo", "params": {"value": i}} for i in range(12)},
        "slow": {"name": "diagnostics.sleep", "params": {"seconds": 600}},
        "broken": {"name": "diagnostics.fail", "params": {"kind": "permanent"}},
        "join": {
            "name": "diagnostics.echo",
            "params": {"value": {"$result": "page-3"}},
            "needs": ["slow", *(f"page-{i}" for i in range(12))],
        },
    }
    made = stack.client.workflows.submit({"name": HOSTILE, "on_failure": "continue", "steps": steps})
    tasks = {step.name: step.task_id for step in stack.client.workflow_steps(made.id)}
    for name in ("broken", "page-11"):
        stack.client.wait(tasks[name], timeout=30)
    return made


@WAYS
def test_a_schedule_is_made_with_a_preview_and_with_the_apis_words_beside_the_fields(
    stack: Stack, options: dict[str, Any]
) -> None:
    name, has_scripts = f"invoices {uuid4()}", not options
    with stack.page("/schedules", **options, timezone_id="Europe/Budapest") as page:
        page.get_by_role("link", name="New schedule").click()
        page.get_by_label("Which task type").fill("diagnostics.echo")
        page.get_by_role("button", name="Next").click()
        page.locator("#timezone").fill("Europe/Budapest")
        page.get_by_label("Cron expression").fill("30 25 * * 1-5")
        if not has_scripts:
            page.get_by_role("button", name="Preview").click()
        expect(page.locator("#preview")).to_contain_text("The field for the hour cannot be '25'")
        page.get_by_label("Cron expression").fill("30 8 2nd fri * *")
        if not has_scripts:
            page.get_by_role("button", name="Preview").click()
        expect(page.locator("#preview")).to_contain_text("At 08:30, on the second Friday of the month")
        expect(page.locator("#preview li")).to_have_count(5)
        if has_scripts:
            is_sound(page)
        page.get_by_role("button", name="Make the schedule").click()
        expect(page.locator("#name-says")).to_contain_text("at least 1 character")
        page.get_by_label("Name", exact=True).fill(name)
        page.locator("textarea[name='/value']").fill('{"customer": "ACME"}')
        page.get_by_role("button", name="Make the schedule").click()
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        expect(page.locator("#next-times li")).to_have_count(5)
    made = next(iter(stack.client.schedules.items(name=name)))
    assert made.trigger["cron"] == "30 8 2nd fri * *"
    assert made.task["params"] == {"value": {"customer": "ACME"}}


@WAYS
def test_a_schedule_is_run_paused_changed_and_deleted(
    stack: Stack, schedule: Schedule, options: dict[str, Any]
) -> None:
    path = f"/schedules/{schedule.id}"
    with stack.page(path, **options) as page:
        page.get_by_role("button", name="Run now").click()
        expect(page).to_have_url(re.compile("/tasks/"))
        page.goto(path)
        expect(page.locator("#fires")).to_contain_text("by hand")
        page.get_by_role("button", name="Run now").click()
        expect(page.get_by_role("alert")).to_contain_text("The last task of this schedule has not ended.")
        page.goto(path)
        page.get_by_role("button", name="Pause", exact=True).click()
        expect(page.locator("#standing")).to_contain_text("nothing is due until it is resumed")
        if not options:
            is_sound(page)
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("link", name="Edit").click()
        expect(page.get_by_label("Every")).to_have_value("1")
        page.get_by_label("Every").fill("2")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#standing")).to_contain_text("Every 2 hours")
        page.goto("/schedules")
        expect(page.locator("#schedules")).to_contain_text(schedule.name)
        if not options:
            is_sound(page)
        page.get_by_role("link", name=schedule.name).click()
        page.get_by_role("link", name="Delete").click()
        page.get_by_label("Type").evaluate("field => field.removeAttribute('pattern')")  # the browser would not send it
        page.get_by_label("Type").fill("something else")
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_role("status")).to_contain_text("Type the name")
        page.get_by_label("Type").fill(schedule.name)
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_role("status")).to_contain_text("was deleted")
    assert list(stack.client.schedules.items(name=schedule.name)) == []
    (task,) = stack.client.tasks(schedule_id=schedule.id)
    stack.client.cancel(task.id)


@WAYS
def test_a_workflow_shows_its_graph_what_failed_and_what_waits_for_what(
    stack: Stack, workflow: Workflow, options: dict[str, Any]
) -> None:
    with stack.page("/workflows", **options) as page:
        expect(page.locator("#workflows tbody tr").first).to_contain_text(HOSTILE)
        page.get_by_role("link", name=HOSTILE).first.click()
        assert "owned" not in page.title().replace(HOSTILE, "")
        expect(page.locator("#standing")).to_contain_text("What failed")
        expect(page.locator("#standing")).to_contain_text("diagnostic_permanent")
        expect(page.locator("#graph svg")).to_contain_text(re.compile(r"diagnostics.echo . 12"))
        join = page.locator("#steps tr", has_text="waits for")
        expect(join).to_contain_text(re.compile(r"waits for: slow \((queued|running)\)"))
        page.locator("#graph a[data-step=join]").click()
        expect(page.locator("#chosen")).to_contain_text("Takes the results")
        expect(page.locator("#chosen")).to_contain_text("page-3")
        if not options:
            is_sound(page)
        expect(page.locator("#timeline")).to_contain_text("submitted with 15 steps")


def test_a_workflow_is_submitted_as_json_followed_live_cancelled_and_run_again(stack: Stack) -> None:
    steps = {
        "first": {"name": "diagnostics.sleep", "params": {"seconds": 3}},
        "second": {"name": "diagnostics.sleep", "params": {"seconds": 600}, "needs": ["first"]},
    }
    with stack.page("/workflows/new") as page:
        field = page.get_by_label("Workflow, as JSON")
        field.fill('{"steps": ')
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_role("alert")).to_contain_text("not JSON from line 1")
        field.fill(json.dumps({"steps": {**steps, "third": {"name": "diagnostics.echo", "needs": ["nothing"]}}}))
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_role("alert")).to_contain_text("/steps/third/needs/0")
        is_sound(page)
        field.fill(json.dumps({"name": "live", "steps": steps}))
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_role("heading", name="live")).to_be_visible()
        expect(page.locator("#graph a[data-step=first]")).to_contain_text("succeeded", timeout=20_000)
        expect(page.locator("#standing")).to_contain_text("1 of 2 steps have ended")
        page.get_by_role("link", name="Cancel…").click()
        expect(page.get_by_role("main")).to_contain_text("1 step has not ended")
        page.get_by_role("button", name="Cancel them").click()
        expect(page.locator("#standing .standing")).to_contain_text("cancelled", timeout=20_000)
        page.get_by_role("link", name="Retry what did not succeed…").click()
        page.get_by_role("button", name="Run them again").click()
        expect(page.get_by_role("status")).to_contain_text("runs again")
        expect(page.locator("#graph a[data-step=second]")).to_contain_text(re.compile("queued|running"))
        stack.client.workflows.cancel(page.url.rpartition("/")[2])
