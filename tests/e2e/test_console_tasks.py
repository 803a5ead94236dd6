"""The console's pages about tasks, dead letters and operations, as people use them: with JavaScript and without."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from taskyard_client import Client, NewTask
from tests.support.browsing import Stack, no_faults
from tests.support.fleet import wait_for

pytestmark = [
    *(pytest.mark.e2e, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)),
    pytest.mark.xdist_group("console"),
]
BOTH = pytest.mark.parametrize("options", [{}, {"java_script_enabled": False}], ids=["with-js", "without-js"])
FAILING = {"kind": "permanent", "times": 1}


@pytest.fixture(scope="module")
def stack(console_stack: Stack) -> Stack:
    return console_stack


def failed(stack: Stack, count: int = 1, queue: str = "default") -> list[str]:
    tasks = [NewTask("diagnostics.fail", FAILING, queue=queue) for _ in range(count)]
    ids = [str(task.id) for task in stack.client.submit_many(tasks)]
    assert {stack.client.wait(task_id, timeout=30).state for task_id in ids} == {"failed"}
    return ids


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


@BOTH
def test_a_list_is_filtered_arranged_saved_and_downloaded(stack: Stack, options: dict[str, bool]) -> None:
    tag = f"=t{uuid4().hex[:8]}"
    task = stack.client.submit("diagnostics.echo", {"value": 1}, tags=[tag])
    stack.client.wait(task.id, timeout=30)
    with stack.page(**options) as page:
        page.get_by_role("textbox", name="Tag", exact=True).fill(tag)
        page.get_by_role("checkbox", name="succeeded").check()
        page.locator("summary", has_text="Columns").click()
        page.get_by_label("Parameters").check()
        page.get_by_label("Run time").uncheck()
        press(page, "Filter")
        expect(page.locator("#tasks tbody tr")).to_have_count(1)
        expect(page.get_by_role("columnheader", name="Parameters")).to_be_visible()
        expect(page.get_by_role("columnheader", name="Run time")).to_have_count(0)
        page.locator("summary", has_text="Save this view").click()
        page.get_by_label("Name of the view").fill("Mine <b>")
        press(page, "Save")
        expect(page.get_by_role("status")).to_contain_text("saved in this browser")
        with page.expect_download() as file:
            page.get_by_role("link", name="JSON Lines").click()
        (line,) = Path(file.value.path()).read_text().splitlines()
        assert json.loads(line)["id"] == str(task.id)
        page.goto("/tasks")
        page.get_by_role("link", name="Mine <b>").click()
        expect(page.get_by_role("link", name=str(task.id))).to_be_visible()
        expect(page.get_by_role("columnheader", name="Parameters")).to_be_visible()
        no_faults(page) if not options else None
        page.locator("summary", has_text="Save this view").click()
        press(page, "Delete Mine <b>")
        expect(page.get_by_role("link", name="Mine <b>")).to_have_count(0)


def test_a_spreadsheet_takes_no_cell_for_a_formula(stack: Stack) -> None:
    tag, hostile = f"formula-{uuid4().hex[:8]}", f"=1+1 {uuid4().hex[:8]}"
    key = stack.client.keys.create(hostile, ["submit"])
    with Client(stack.env["TASKYARD_URL"], key.key) as client:
        task = client.submit("diagnostics.echo", {"value": 1}, tags=[tag])
    with stack.page() as page:
        page.goto(f"/tasks?tag={tag}")
        with page.expect_download() as file:
            page.get_by_role("link", name="CSV").click()
        (row,) = csv.DictReader(io.StringIO(Path(file.value.path()).read_text()))
        assert (row["id"], row["submitted_by"]) == (str(task.id), f"'{hostile}")
    stack.client.keys.revoke(key.id)


def test_a_list_stands_still_while_something_is_ticked_and_while_it_is_paused(stack: Stack) -> None:
    tag = f"still-{uuid4().hex[:8]}"

    def submit() -> None:
        stack.client.wait(stack.client.submit("diagnostics.echo", {"value": 1}, tags=[tag]).id, timeout=30)

    submit()
    with stack.page() as page:
        page.goto(f"/tasks?tag={tag}")
        rows, pause = page.locator("#tasks tbody tr"), page.get_by_role("button", name="Pause updates")
        rows.get_by_role("checkbox").check()
        submit()
        expect(page.get_by_text("The page stands still while something is selected.")).to_be_visible()
        expect(rows).to_have_count(1)
        expect(rows.get_by_role("checkbox")).to_be_checked()
        rows.get_by_role("checkbox").uncheck()
        expect(rows).to_have_count(2)
        no_faults(page)
        pause.click()
        expect(pause).to_have_attribute("aria-pressed", "true")
        submit()
        page.wait_for_timeout(2_500)  # two turns
        expect(rows).to_have_count(2)
        pause.click()
        expect(rows).to_have_count(3)


def test_the_focus_moves_to_no_other_action(stack: Stack) -> None:
    task = stack.client.submit("diagnostics.sleep", {"seconds": 1}, delay_seconds=3600)
    with stack.page() as page:
        page.goto(f"/tasks/{task.id}")
        page.get_by_role("button", name="Cancel", exact=True).focus()
        stack.client.cancel(task.id)
        expect(page.get_by_role("button", name="Retry", exact=True)).to_be_visible()
        expect(page.locator("#actions")).to_be_focused()


@BOTH
def test_dead_letters_are_grouped_discarded_and_restored(stack: Stack, options: dict[str, bool]) -> None:
    ids = failed(stack, 2)
    with stack.page(**options) as page:
        page.goto("/dead-letters")
        page.locator("#groups").get_by_role("link", name="diagnostic_permanent").click()
        expect(page).to_have_url(re.compile("name=diagnostics.fail&code=diagnostic_permanent"))
        no_faults(page) if not options else None
        for task_id in ids:
            page.get_by_role("checkbox", name=task_id).check()
        press(page, "Discard the selected")
        expect(page.get_by_role("main")).to_contain_text("2 would change.")
        assert stack.client.task(ids[0]).discarded_at is None
        press(page, "Discard them")
        expect(page.get_by_role("heading", name="2 tasks changed.")).to_be_visible()
        assert stack.client.task(ids[0]).discarded_at is not None
        press(page, "Undo: restore them")
        press(page, "Restore them")
        expect(page.get_by_role("heading", name="2 tasks changed.")).to_be_visible()
        assert stack.client.task(ids[0]).discarded_at is None
    stack.client.dead_letters.discard(ids)


@BOTH
def test_all_that_match_are_discarded_by_an_operation_and_that_is_undone(
    stack: Stack, options: dict[str, bool]
) -> None:
    ids = failed(stack, 3)
    with stack.page(**options) as page:
        page.goto("/tasks?name=diagnostics.fail&state=failed")
        page.get_by_role("link", name="Discard…").click()
        expect(page.get_by_role("main")).to_contain_text(re.compile(r"\d+ tasks fit"))
        no_faults(page) if not options else None
        page.get_by_label("At most so many a second").fill("many")
        press(page, "Discard all of them")
        expect(page.get_by_role("alert")).to_contain_text("This is not a number above zero.")
        page.get_by_label("At most so many a second").fill("1000")
        press(page, "Discard all of them")
        expect(page).to_have_url(re.compile("/operations/[0-9a-f-]{36}$"))
        stack.client.wait(page.url.rpartition("/")[2], timeout=30)
        page.reload() if options else None
        expect(page.locator("#standing .standing")).to_contain_text("succeeded")
        no_faults(page) if not options else None
        assert stack.client.task(ids[0]).discarded_at is not None
        page.get_by_role("link", name="Undo: restore them…").click()
        press(page, "Restore all of them")
        expect(page).to_have_url(re.compile("/operations/[0-9a-f-]{36}$"))
        stack.client.wait(page.url.rpartition("/")[2], timeout=30)
        assert {stack.client.task(task_id).discarded_at for task_id in ids} == {None}
        page.goto("/operations")
        expect(page.locator("#operations")).to_contain_text("Restore")
        no_faults(page) if not options else None


def test_a_replay_is_stopped_and_what_waits_of_it_cancelled_and_nothing_else(stack: Stack) -> None:
    planned = stack.client.submit("diagnostics.fail", FAILING, delay_seconds=3600)
    ids = failed(stack, 3)
    stack.client.queues.pause("default")
    try:
        with stack.page() as page:
            page.goto("/operations/new?action=retry&name=diagnostics.fail&queue=default")
            page.get_by_label("At most so many a second").fill("0.01")
            press(page, "Retry all of them")
            expect(page.locator("#standing")).to_contain_text("So far", timeout=20_000)
            operation = page.url.rpartition("/")[2]
            wait_for(lambda: stack.client.task(operation).progress, 20, every=0.2)
            press(page, "Stop the operation")
            expect(page.locator("#standing .standing")).to_contain_text("cancelled", timeout=20_000)
            page.get_by_role("link", name="Undo: cancel what still waits of them…").click()
            expect(page.get_by_role("main")).to_contain_text("1 task fits.")
            press(page, "Cancel all of them")
            expect(page).to_have_url(re.compile("/operations/[0-9a-f-]{36}$"))
            undo = page.url.rpartition("/")[2]
            assert stack.client.wait(undo, timeout=30).result == {"changed": 1, "skipped": 0}
            page.reload()
            page.get_by_role("link", name="Undo: run them again…").click()
            expect(page.get_by_role("main")).to_contain_text("1 task fits.")
            page.get_by_role("link", name="Back", exact=True).click()
            expect(page).to_have_url(re.compile(f"/operations/{undo}$"))
        assert stack.client.task(planned.id).state == "scheduled"
    finally:
        stack.client.queues.resume("default")
        stack.client.cancel(planned.id)
    stack.client.dead_letters.discard(ids)


@BOTH
def test_a_task_tells_its_story_and_each_action_as_a_command(stack: Stack, options: dict[str, bool]) -> None:
    task = stack.client.submit("diagnostics.fail", {"kind": "transient", "times": 9}, max_attempts=2)
    stack.client.wait(task.id, timeout=60)
    with stack.page(**options) as page:
        page.goto(f"/tasks/{task.id}")
        expect(page.locator(".why")).to_contain_text("diagnostic_transient")
        report = page.locator("#timeline")
        expect(report).to_contain_text("Submitted by bootstrap to the queue default")
        expect(report).to_contain_text(re.compile("Attempt 2 began on .* after waiting"))
        expect(report).to_contain_text("The attempt failed and is tried again")
        expect(page.get_by_role("columnheader", name=re.compile("Attempt [12]"))).to_have_count(2)
        expect(page.locator("#commands")).to_contain_text(f"taskyard tasks retry {task.id}")
        page.get_by_label("Lines with").fill("<nothing>")
        page.locator("#log-title + form").get_by_role("button").click()
        expect(page.locator("#log")).to_contain_text("No line fits.")
        no_faults(page) if not options else None
        press(page, "Discard")
        expect(page.get_by_role("status")).to_contain_text("no dead letter any more")
        press(page, "Restore")
        expect(page.get_by_role("status")).to_contain_text("a dead letter again")
    stack.client.dead_letters.discard([task.id])


@BOTH
def test_a_task_is_submitted_again_with_what_the_api_says_beside_the_field(
    stack: Stack, options: dict[str, bool]
) -> None:
    task = stack.client.submit("diagnostics.sleep", {"seconds": 0}, tags=["again"])
    with stack.page(**options) as page:
        page.goto(f"/tasks/{task.id}")
        page.get_by_role("link", name="Submit again…").click()
        page.locator("input[name='/seconds']").fill("long")
        press(page, "Submit")
        expect(page.locator("input[name='/seconds']")).to_have_attribute("aria-invalid", "true")
        expect(page.locator("input[name='/seconds']")).to_have_value("long")
        no_faults(page) if not options else None
        page.locator("input[name='/seconds']").fill("0.01")
        press(page, "Submit")
        expect(page.get_by_role("status")).to_contain_text("The task was submitted.")
        new = stack.client.wait(page.url.rpartition("/")[2], timeout=30)
        assert (new.params["seconds"], new.tags, new.id != task.id) == (0.01, ["again"], True)


@BOTH
def test_a_waiting_task_is_changed_and_cancelling_shows_its_stages(stack: Stack, options: dict[str, bool]) -> None:
    task = stack.client.submit("diagnostics.sleep", {"seconds": 600}, delay_seconds=3600)
    with stack.page(**options) as page:
        page.goto(f"/tasks/{task.id}")
        page.get_by_role("link", name="Change…").click()
        page.get_by_label("Queue").fill("no_such_queue")
        press(page, "Change")
        expect(page.get_by_role("alert")).to_be_visible()
        page.get_by_label("Queue").fill("low_priority")
        page.get_by_label("Tags").fill("night\nshift")
        earlier = datetime.now(UTC) - timedelta(days=2)  # in every zone
        page.get_by_label("Runs from").fill(f"{earlier:%Y-%m-%dT%H:%M:%S}")
        no_faults(page) if not options else None
        press(page, "Change")
        expect(page.get_by_role("status")).to_contain_text("The task is changed.")
        changed = stack.client.task(task.id)
        assert (changed.queue, changed.tags) == ("low_priority", ["night", "shift"])
        next(event for event in stack.client.events(task.id) if event.kind == "started")
        page.reload()
        press(page, "Cancel")
        stack.client.wait(task.id, timeout=30)
        page.reload()
        stages = page.get_by_role("list", name="Cancelling").get_by_role("listitem")
        expect(stages).to_contain_text(["asked", "told", "stopping", "ended"])
