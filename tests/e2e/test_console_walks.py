"""Every page and every form of the console before a stack at work: each page is looked at in both colours, wide and
narrow, and each form is sent by the keyboard alone, with JavaScript and without. The routes are the application's own:
a page or a form that no walk reaches fails here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, Response, expect

from taskyard_client import Client, NewTask, Worker
from tests.support.browsing import Stack, is_sound
from tests.support.console_routes import FILES, FORMS, PAGES, route_of
from tests.support.fleet import repeating, wait_for
from tests.support.keyboard import TICK, Step, press, take

pytestmark = [
    *(pytest.mark.e2e, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(480)),
    pytest.mark.xdist_group("console_walks"),
]
QUEUE = "console_walks"
NARROW: dict[str, Any] = {"viewport": {"width": 360, "height": 800}}


@pytest.fixture(scope="module")
def stack(console_stack: Stack) -> Iterator[Stack]:
    """At work: tasks come and end all the time, so that live pages change."""
    with Client(console_stack.env["TASKYARD_URL"], console_stack.env["TASKYARD_API_KEY"]) as client:
        some = [NewTask("diagnostics.echo", {"value": "load"}, tags=["load"]) for _ in range(10)]
        with repeating(lambda: client.submit_many(some), every=0.5):
            yield console_stack


@dataclass(frozen=True)
class Scene:
    """What the walks meet."""

    worker: Worker
    tag: str
    waiting: list[str]
    failed: list[str]
    group: str
    schedule: str
    workflow: str
    operation: str

    def ids(self) -> dict[str, str]:
        return {
            "task_id": self.failed[0], "waiting": self.waiting[0], "group_id": self.group, "workflow_id": self.workflow,
            "schedule_id": self.schedule, "worker_id": str(self.worker.id), "operation": self.operation,
        }  # fmt: skip


def scene_of(stack: Stack, worker: Worker) -> Scene:
    client, tag = stack.client, f"walk-{uuid4().hex[:8]}"
    sleeps = [
        NewTask("diagnostics.sleep", {"seconds": 600}, queue=QUEUE, tags=[f"{tag}-{i}"], delay_seconds=3_600)
        for i in range(4)
    ]
    fails = [NewTask("diagnostics.fail", {"kind": "permanent"}, queue=QUEUE, tags=[tag]) for _ in range(4)]
    waiting = [str(task.id) for task in client.submit_many(sleeps)]
    failed = [str(task.id) for task in client.submit_many(fails)]
    for task_id in failed:
        client.wait(task_id, timeout=60)
    (group,) = wait_for(lambda: list(client.errors.items(queue=QUEUE)), 60, every=0.2)[:1]
    task = {"name": "diagnostics.echo", "params": {"value": 1}}
    steps = {"one": {"name": "diagnostics.sleep", "params": {"seconds": 600}, "queue": QUEUE}}
    return Scene(
        worker, tag, waiting, failed, str(group.id),
        schedule=str(client.schedules.create(tag, task, {"every_seconds": 3_600}).id),
        workflow=str(client.workflows.submit({"name": tag, "steps": steps}).id),
        operation=str(client.operations.start("restore", created_before=datetime(2020, 1, 1, tzinfo=UTC)).id),
    )  # fmt: skip


@contextmanager
def set_up(stack: Stack) -> Iterator[Scene]:
    with stack.worker(QUEUE) as worker:
        made = scene_of(stack, worker)
        yield made
        stack.client.workflows.cancel(made.workflow)


@pytest.fixture(scope="module")
def scene(stack: Stack) -> Iterator[Scene]:
    """To be looked at."""
    with set_up(stack) as made:
        yield made


@pytest.fixture
def own_scene(stack: Stack) -> Iterator[Scene]:
    with set_up(stack) as made:
        yield made


# Where the name of a placeholder does not say enough.
ADDRESSES = {
    "/operations/new": "/operations/new?action=cancel&name=diagnostics.sleep",
    "/operations/{task_id}": "/operations/{operation}",
    "/queues/{name}": f"/queues/{QUEUE}",
    "/schedules/new": "/schedules/new?task=diagnostics.echo",
    "/task-types/{name}": "/task-types/diagnostics.echo",
    "/task-types/{name}/submit": "/task-types/email.send_newsletter/submit",
    "/tasks/{task_id}/change": "/tasks/{waiting}/change",
}
OTHERS = ("/tasks?state=blocked", "/dead-letters?discarded=yes", "/schedules/new", "/nowhere", "/tasks/{waiting}")


@pytest.mark.parametrize(
    "options",
    [{"color_scheme": "light"}, {"color_scheme": "dark", "locale": "de", **NARROW}],
    ids=["light", "dark-narrow-and-german"],
)
def test_every_page_is_free_of_barriers(stack: Stack, scene: Scene, options: dict[str, Any]) -> None:
    with stack.page("/", **options) as page:
        for path in (*sorted(PAGES - {"/sign-in"}), *OTHERS):
            page.goto(ADDRESSES.get(path, path).format(**scene.ids()))
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            is_sound(page)
    with stack.page(signed_in=False, **options) as page:
        page.goto("/sign-in")
        is_sound(page)


@pytest.mark.parametrize("language", ["fr", pytest.param("hu", marks=pytest.mark.long)])
def test_every_page_fits_a_narrow_screen_in_other_languages_and_hides_nothing_without_scripts(
    stack: Stack, scene: Scene, language: str
) -> None:
    with stack.page("/", locale=language, java_script_enabled=False, **NARROW) as page:
        for path in (*sorted(PAGES - {"/sign-in"}), *OTHERS):
            page.goto(ADDRESSES.get(path, path).format(**scene.ids()))
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 360, f"{path} is {width} wide"
            assert page.locator("button[type=button]:visible").count() == 0, f"{path} has a button that does nothing"
        for path in FILES:
            answer = page.request.get(path.format(**scene.ids()))
            assert answer.headers["content-disposition"].startswith("attachment"), path


@dataclass(frozen=True)
class Walk:
    """`at`: where it begins. `steps`, in the order of the page: a button, link or fold to press; a field with what is
    typed, or ticked, in it. `says`: what the page shows in the end. `once`: what has to be so before."""

    route: str
    at: str
    steps: tuple[Step, ...]
    says: str
    is_in_header: bool = False
    once: Callable[[], object] = lambda: True


def walks(stack: Stack, scene: Scene) -> list[Walk]:
    waiting, failed, name, key = scene.waiting, scene.failed, f"{scene.tag}-made", stack.env["TASKYARD_API_KEY"]
    queue, worker, group = f"/queues/{QUEUE}", f"/workers/{scene.worker.id}", f"/errors/{scene.group}"
    schedule, workflow = f"/schedules/{scene.schedule}", f"/workflows/{scene.workflow}"
    steps = json.dumps({"name": name, "steps": {"one": {"name": "diagnostics.echo", "params": {"value": 1}}}})

    def its_row(page: Page) -> Locator:
        return page.locator("tr", has_text=name).get_by_role("button")

    return [
        Walk("/choices", "/keys", ("bootstrap", ("Time zone", "Asia/Tokyo"), "Save"), "Asia/Tokyo", is_in_header=True),
        Walk("/tasks/views", "/tasks", ("Save this view", ("Name of the view", name), "Save"), "saved in this browser"),
        Walk(
            "/tasks/selection", f"/tasks?tag={scene.tag}-0",
            ((waiting[0], TICK), "Cancel the selected", "Cancel them"), "1 task changed.",
        ),
        Walk("/operations/new", f"/tasks?tag={scene.tag}-1", ("Cancel…", "Cancel all of them"), "Cancelling tasks"),
        Walk("/tasks/{task_id}/change", f"/tasks/{waiting[2]}", ("Change…", ("Tags", "x"), "Change"), "is changed."),
        Walk("/tasks/{task_id}/cancel", f"/tasks/{waiting[2]}", ("Cancel",), "cancelled"),
        Walk(
            "/task-types/{name}/submit", f"/tasks/{waiting[2]}",
            ("Submit again…", ("Seconds", "0"), "Submit"), "The task was submitted.",
        ),
        Walk("/tasks/{task_id}/retry", f"/tasks/{failed[0]}", ("Retry",), "The task runs again."),
        Walk("/tasks/{task_id}/discard", f"/tasks/{failed[1]}", ("Discard",), "no dead letter any more"),
        Walk("/tasks/{task_id}/restore", f"/tasks/{failed[1]}", ("Restore",), "a dead letter again"),
        Walk(
            "/task-types/{name}/submit", "/task-types/diagnostics.echo",
            ("Submit a task", ("Value", "1"), "Submit"), "The task was submitted.",
        ),
        Walk("/errors/{group_id}/solve", group, ("Mark as solved",), "Marked as solved"),
        Walk("/errors/{group_id}/reopen", group, ("Reopen",), "open again"),
        Walk("/queues/{name}/pause", queue, ("Pause",), "what runs goes on"),
        Walk("/queues/{name}/resume", queue, ("Resume",), "begin again"),
        Walk("/queues/{name}/limits", queue, (("Tasks at once", "3"), "Set the limits"), "3 at once"),
        Walk("/queues/{name}/purge", queue, ("Purge…", ("to confirm", QUEUE), "Cancel them"), "cancelled."),
        Walk("/workers/{worker_id}/pool", worker, (("Processes", "1:2"), "Set the number"), "1:2"),
        Walk("/workers/{worker_id}/restart", worker, ("Replace its processes",), "replace its processes"),
        Walk("/workers/{worker_id}/drain", worker, ("Drain…", "Drain it"), "asked to drain"),
        Walk("/keys", "/keys", (("Name", name), ("read", TICK), "Make the key"), f"The key {name} is made"),
        Walk("/keys/{key_id}/revoke", "/keys", (its_row, ("to confirm", name), "Revoke it"), "is revoked"),
        Walk(
            "/schedules/new", "/schedules",
            ("New schedule", ("Which task type", "diagnostics.echo"), "Next",
             ("Name", name), ("Cron expression", "0 8 * * *"), ("Value", "1"), "Make the schedule"), "At 08:00",
        ),
        Walk("/schedules/{schedule_id}/edit", schedule, ("Edit", ("Every", "2"), "Save"), "Every 2 hours"),
        Walk("/schedules/{schedule_id}/pause", schedule, ("Pause",), "nothing is due until it is resumed"),
        Walk("/schedules/{schedule_id}/resume", schedule, ("Resume",), "Every 2 hours"),
        Walk("/schedules/{schedule_id}/trigger", schedule, ("Run now",), "Its task was submitted."),
        Walk(
            "/schedules/{schedule_id}/delete", schedule,
            ("Delete", ("to confirm", scene.tag), "Delete"), "was deleted",
        ),
        Walk("/workflows/new", "/workflows", ("Submit a workflow", ("Workflow, as JSON", steps), "Submit"), name),
        Walk("/workflows/{workflow_id}/cancel", workflow, ("Cancel…", "Cancel them"), "cancel"),
        Walk(
            "/workflows/{workflow_id}/retry", workflow, ("Retry what did not succeed…", "Run them again"), "runs again",
            once=lambda: stack.client.workflows.get(scene.workflow).is_final,
        ),
        Walk("/sign-out", "/queues", ("bootstrap", "Sign out"), "Sign in with the key", is_in_header=True),
        Walk("/sign-in", "/sign-in", (("API key", key), "Sign in with the key"), "Everything works"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "has_scripts",
    [True, pytest.param(False, marks=pytest.mark.long)],
    ids=["with-js", "without-js-dark-and-narrow"],
)
def test_the_keyboard_alone_sends_every_form(stack: Stack, own_scene: Scene, has_scripts: bool) -> None:
    options: dict[str, Any] = {} if has_scripts else {"java_script_enabled": False, "color_scheme": "dark", **NARROW}
    sent: set[str] = set()

    def note(answer: Response) -> None:
        if answer.request.method == "POST" and answer.status < 400:
            sent.add(route_of(urlsplit(answer.url).path))

    with stack.page("/", **options) as page:
        page.on("response", note)
        for walk in walks(stack, own_scene):
            wait_for(walk.once, 30, every=0.2)
            page.goto(walk.at)
            if not walk.is_in_header:
                press(page, page.get_by_role("link", name="Skip to the content"))
            for step in walk.steps:
                take(page, step)
            expect(page.locator("body")).to_contain_text(walk.says)
            assert walk.route in sent, f"{walk.route} was not sent, but {sent}"
    assert FORMS.keys() - sent == set()
