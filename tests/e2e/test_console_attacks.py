"""What a hostile task, a hostile page and a key of few rights try at the console, in a browser.

Pages come from the application's routes, so that a page that is added is attacked, too. What a task says is looked at
with the Content-Security-Policy switched off: escaping has to hold alone.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Dialog, Page, Request, expect

from taskyard_client import Client, Task
from taskyard_console.json_text import json_text
from taskyard_console.pages import downloads, live, task
from tests.support.browsing import Stack
from tests.support.console_routes import ASKED, FORMS, READ, filled
from tests.support.fleet import wait_for
from tests.support.hostile_tasks import FORMULA, HOSTILE, LINK, SHORT, SIGN, TAGS, WORD

pytestmark = [
    *(pytest.mark.e2e, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)),
    pytest.mark.xdist_group("console_walks"),
]
QUEUE, TYPE = "attacks", "tests.hostile"
NO_PAGES = (live.LivePage, downloads.TasksFile, downloads.DeadLettersFile, task.TaskLog)
# Where what is hostile has to be seen, or nothing is proved.
SHOWN = {
    *(
        "/",
        "/tasks",
        "/tasks/{task_id}",
        "/tasks/{task_id}/change",
        "a success",
        "all columns",
    ),
    *("/dead-letters", "/operations", "/operations/{task_id}", "/task-types", "/task-types/{name}", "/keys", "/audit"),
    *("/task-types/{name}/submit", "/errors", "/errors/{group_id}", "/workflows", "/workflows/{workflow_id}"),
    *("/schedules", "/schedules/{schedule_id}", "/schedules/{schedule_id}/edit", "/schedules/{schedule_id}/delete"),
}
# What runs, loads or leads away, and what an override of direction would turn around beside the text that has it.
ODD = """() => [...document.querySelectorAll("*")].flatMap((one) => {
  const found = [];
  const own = "head > script[type=module][src], head > link[rel=stylesheet], head > link[rel=icon]";
  const loading = "script, style, img, iframe, object, embed, base, link, meta[http-equiv]";
  if (one.matches(loading) && !one.matches(own)) found.push(one.tagName);
  for (const { name, value } of one.attributes) {
    if (name.startsWith("on") || name === "style" || name === "srcdoc") found.push(name);
    if (!["href", "xlink:href", "src", "action", "formaction"].includes(name)) continue;
    if (new URL(value, location.href).origin !== location.origin) found.push(`${name}=${value}`);
  }
  const { display, unicodeBidi } = getComputedStyle(one);
  for (const text of one.childNodes) {
    if (text.nodeType !== Node.TEXT_NODE || !text.data.includes("\u202e") || display === "none") continue;
    const isAlone = display !== "inline" && !text.nextSibling?.textContent.trim();
    if (one instanceof HTMLElement && !isAlone && !/isolate|plaintext/.test(unicodeBidi))
      found.push(`turns around what is beside: ${one.outerHTML.slice(-150)}`);
  }
  return found;
}).concat(window.pwned ? ["it ran"] : [], document.cookie.includes("pwned") ? ["a cookie"] : [])"""


@pytest.fixture(scope="module")
def stack(console_stack: Stack) -> Stack:
    return console_stack


@dataclass(frozen=True)
class Made:
    """`ids`: what stands in the places of routes, by their beginning and name."""

    failed: Task
    succeeded: Task
    ids: dict[str, str]

    def pages(self) -> dict[str, str]:
        """The address of each page, by its route."""
        shown = [route for route, kind in READ.items() if kind not in NO_PAGES and not route.startswith("/sign-in")]
        return {route: self.address(route) for route in shown}

    def address(self, route: str) -> str:
        return filled(route, self.ids.get(route.split("/")[1], ""))


@pytest.fixture(scope="module")
def made(stack: Stack) -> Iterator[Made]:
    """Whatever a task and a caller can say, said: once by a task that fails, once by one that succeeds."""
    key = stack.client.keys.create(f"{SHORT}{uuid4()}", ["admin"]).key
    assert key is not None
    modules = {"TASKYARD_TASK_MODULES": "tests.support.hostile_tasks", "PYTHONPATH": str(Path(__file__).parents[2])}
    with Client(stack.env["TASKYARD_URL"], key) as client, stack.worker(QUEUE, **modules) as worker:
        params = {"value": {HOSTILE: [HOSTILE, WORD]}, "text": HOSTILE, SHORT: LINK}
        request = {"name": TYPE, "params": {**params, "do": "fail"}, "queue": QUEUE, "tags": TAGS}
        names = {"Authorization": f"Bearer {key}", "X-Request-ID": SHORT, "X-On-Behalf-Of": quote(SHORT)}
        answer = httpx.post(f"{stack.env['TASKYARD_URL']}/api/v1/tasks", json=request, headers=names)
        assert answer.status_code == 202, answer.text
        failed = client.wait(answer.json()["id"], timeout=60)
        succeeded = client.wait(client.submit(TYPE, params, queue=QUEUE, tags=TAGS).id, timeout=60)
        assert (failed.state, succeeded.state) == ("failed", "succeeded")
        trigger = {"every_seconds": 3_600}
        of_task = {"name": TYPE, "params": params, "queue": QUEUE, "tags": TAGS}
        schedule = client.schedules.create(f"{SHORT}\u202e{uuid4().hex}", of_task, trigger)
        client.schedules.trigger(schedule.id)
        step = {"name": TYPE, "params": {**params, "do": "fail"}, "queue": QUEUE}
        steps = {"first": step, "second": {**step, "needs": ["first"], "optional": True}}
        workflow = client.workflows.submit({"name": f"{HOSTILE[:150]}\u202e", "steps": steps})
        client.wait_workflow(workflow.id, timeout=60)
        operation = client.operations.start("cancel", name=TYPE, tag=SHORT)
        (group,) = wait_for(lambda: client.errors.page(name=TYPE, queue=QUEUE, code=SHORT).items, 30)
        client.errors.solve(group.id)
        client.queues.pause(QUEUE)
        client.queues.resume(QUEUE)
        ids = {"tasks": failed.id, "operations": operation.id, "task-types": TYPE, "errors": group.id, "queues": QUEUE}
        ids |= {"workers": worker.id, "schedules": schedule.id, "workflows": workflow.id, "keys": uuid4()}
        yield Made(failed, succeeded, {name: str(one) for name, one in ids.items()})
        client.schedules.delete(schedule.id)
        client.dead_letters.discard([failed.id])


@contextmanager
def watched(stack: Stack, **options: Any) -> Iterator[Page]:
    """A page without its policy. Nothing that it opens, and nothing that it asks of another host, stays unseen."""
    with stack.page(bypass_csp=True, **options) as page:
        seen: list[str] = []

        def asked(request: Request) -> None:
            if not request.url.startswith(f"{stack.url}/"):
                seen.append(request.url)

        def opened(dialog: Dialog) -> None:
            seen.append(dialog.message)
            dialog.dismiss()

        page.on("request", asked)
        page.on("dialog", opened)
        yield page
        assert seen == []


def looked_at(page: Page, path: str) -> list[str]:
    """What is wrong with the page."""
    answer = page.goto(path)
    assert answer is not None
    width, least = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    found: list[str] = page.evaluate(ODD)
    return [*found, *([f"{answer.status}"] if answer.status >= 500 else []), *(["too wide"] if width > least else [])]


def test_what_runs_is_seen(stack: Stack) -> None:
    """Or the tests below prove nothing."""
    with stack.page("/nowhere", bypass_csp=True) as page:
        page.evaluate("html => { document.querySelector('main').innerHTML = html }", f"<b>{HOSTILE}</b>")
        page.wait_for_function(SIGN.replace("=1", ""))
        assert {"it ran", "IMG", "onerror", "IFRAME", "srcdoc", f"href=javascript:{SIGN}"} <= set(page.evaluate(ODD))


def test_nothing_that_a_task_says_runs_on_any_page_and_long_words_fit_a_telephone(stack: Stack, made: Made) -> None:
    columns = urlencode([("queue", QUEUE), *(("column", one) for one in ("name", "tags", "by", "params", "says"))])
    more = {"a success": f"/tasks/{made.succeeded.id}", "all columns": f"/tasks?{columns}"}
    wrong, shown = {}, set()
    with watched(stack, viewport={"width": 360, "height": 800}) as page:
        for route, path in (made.pages() | more).items():
            wrong[path] = looked_at(page, path)
            if SIGN in page.content().replace("&quot;", '"'):
                shown.add(route)
    assert {path: found for path, found in wrong.items() if found} == {}
    assert shown >= SHOWN


def test_nothing_that_an_address_says_runs_on_any_page(stack: Stack, made: Made) -> None:
    with watched(stack) as page:
        query = urlencode(dict.fromkeys(ASKED, HOSTILE))
        wrong = {
            path: looked_at(page, f"{path}?{query}")
            for path in (*made.pages().values(), "/nowhere", f"/{quote(HOSTILE)}")
        }
    assert {path: found for path, found in wrong.items() if found} == {}


def test_nothing_runs_that_comes_live(stack: Stack, made: Made) -> None:
    with watched(stack, viewport={"width": 1_280, "height": 800}) as page:
        page.goto(f"/tasks?queue={QUEUE}&column=says&column=tags&column=id")
        page.wait_for_timeout(1_500)  # the page listens
        waiting = stack.client.submit(TYPE, {"do": "wait"}, queue=QUEUE, tags=TAGS)
        row = page.locator("tr", has=page.get_by_role("link", name=str(waiting.id)))
        expect(row).to_contain_text(SIGN)
        assert page.evaluate(ODD) == []
        page.goto(f"/tasks/{waiting.id}")
        expect(page.locator("#log")).to_contain_text(SIGN)
        stack.client.cancel(waiting.id)
        expect(page.locator("#standing .standing")).to_contain_text("cancelled")
        assert page.evaluate(ODD) == []


def test_the_form_to_submit_again_has_the_parameters_as_they_are_and_sends_them_so(stack: Stack, made: Made) -> None:
    with watched(stack) as page:
        page.goto(f"/tasks/{made.failed.id}")
        page.get_by_role("link", name="Submit again").click()
        # As JSON: a form would send its line breaks otherwise.
        expect(page.locator("[name='/text']")).to_have_value(json_text(HOSTILE, indent=2))
        page.locator("[name='/do']").select_option("succeed")
        page.get_by_role("button", name="Submit", exact=True).click()
        expect(page.get_by_text("The task was submitted.")).to_be_visible()
        params = stack.client.task(page.url.rpartition("/")[2]).params
    assert params == {**made.failed.params, "do": "succeed"}


def test_lists_and_logs_come_as_files_and_no_cell_is_a_formula(stack: Stack, made: Made) -> None:
    with watched(stack) as page:
        lists = [f"/{one}/download?format={form}" for one in ("tasks", "dead-letters") for form in ("csv", "jsonl")]
        for path in (*lists, f"/tasks/{made.failed.id}/log"):
            answer = page.request.get(path)
            assert answer.ok
            assert answer.headers["content-disposition"].startswith("attachment; ")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "html" not in answer.headers["content-type"]
        rows = list(csv.DictReader(io.StringIO(page.request.get(f"/tasks/download?queue={QUEUE}").text())))
    assert str(made.failed.id) in {row["id"] for row in rows}
    assert FORMULA in "".join(row["tags"] for row in rows)
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize(("kind", "ending"), [("text/html", "html"), ("image/svg+xml", "svg")])
def test_a_file_of_a_task_is_never_a_page_of_the_host_that_has_the_session(
    stack: Stack, kind: str, ending: str
) -> None:
    api, key = stack.env["TASKYARD_URL"], {"Authorization": f"Bearer {stack.env['TASKYARD_API_KEY']}"}
    script = f"<script>document.title='pwned';{SIGN}</script>"
    content = f"<svg xmlns='http://www.w3.org/2000/svg'>{script}</svg>" if ending == "svg" else script
    name = quote(f'"><img src=x onerror={SIGN}>.{ending}', safe="")
    headers = {**key, "X-Filename": name, "Content-Type": kind}
    item = httpx.post(f"{api}/api/v1/tree-items", content=content, headers=headers)
    assert item.status_code == 201, item.text
    there = f"{api}{item.headers['Location']}/content"
    with stack.page("/", bypass_csp=True) as page:
        page.context.set_extra_http_headers(key)
        with page.expect_download() as file:
            page.evaluate("there => { location.href = there }", there)
        assert Path(file.value.path()).read_text() == content
        assert "pwned" not in page.title()
    answer = httpx.get(there, headers=key)
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_on_another_port_of_the_same_host_presses_reads_and_frames_nothing(stack: Stack, made: Made) -> None:
    """It is of the same site, so the browser sends the session's cookie with what it asks."""
    forms, before = [made.address(route) for route in FORMS], stack.client.audit.page(limit=1).items
    with stack.page("/tasks") as page:
        evil, elsewhere = page.context.new_page(), "http://127.0.0.1:18999/"
        evil.route(elsewhere, lambda route: route.fulfill(body="<p>x", content_type="text/html"))
        evil.goto(elsewhere)
        send = "([to, how]) => fetch(to, {credentials: 'include', ...how}).then(() => 'read', () => 'kept from it')"
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        how = {"method": "POST", "mode": "no-cors", "headers": kind, "body": f"confirmed=yes&typed={QUEUE}&csrf="}
        for path in forms:
            evil.evaluate(send, [stack.url + path, how])
        assert evil.evaluate(send, [f"{stack.url}/tasks", {"headers": {"X-Fragment": "1"}}]) == "kept from it"
        assert evil.evaluate(send, [f"{stack.url}/tasks", {}]) == "kept from it"
        evil.set_content(f"<iframe src='{stack.url}/tasks'></iframe>")
        evil.wait_for_timeout(500)
        assert not [frame.url for frame in evil.frames if frame.url.startswith(stack.url)]
        there = f"{stack.url}/tasks/{made.failed.id}/discard"
        evil.set_content(f"<form method=post action='{there}'><button>A present!</button></form>")
        evil.get_by_role("button").click()
        expect(evil.get_by_role("alert")).to_contain_text("did not come from this console")
        expect(evil.locator("header")).to_contain_text("bootstrap")  # the browser did send the session
        page.goto("/tasks")
        expect(page.get_by_role("heading", name="Tasks")).to_be_visible()
    assert stack.client.audit.page(limit=1).items == before


def test_no_address_of_the_sign_in_leads_to_another_host(stack: Stack) -> None:
    evil = "evil.example"
    wanted = [
        *(f"//{evil}", f"///{evil}", f"////{evil}", f"/\\{evil}", f"\\\\{evil}", f"/\t/{evil}", f"/\n//{evil}"),
        *(f"https:{evil}", f"https:/{evil}", f"https://{evil}", f"/.//{evil}", f"/..//{evil}", f"/%2f{evil}"),
        *(f"/%5c{evil}", f"/%09/{evil}", f"@{evil}", f"//{evil}\\@x", f"javascript:{SIGN}", f"/\x00/{evil}"),
    ]
    with watched(stack) as page:
        for one in wanted:
            for path in ("/sign-in", "/sign-in/link"):
                page.goto(f"{path}?next={quote(one, safe='')}")
                assert page.url.startswith(f"{stack.url}/"), one
                page.goto(f"{path}?next={quote(quote(one, safe=''), safe='')}")
                assert page.url.startswith(f"{stack.url}/"), one


def test_a_key_that_may_only_read_is_shown_nothing_to_press(stack: Stack, made: Made) -> None:
    key = stack.client.keys.create(f"reader {uuid4()}", ["read"])
    with stack.page(signed_in=False) as page:
        page.goto("/sign-in?next=/tasks")
        page.get_by_label("API key").fill(key.key or "")
        page.get_by_role("button", name="Sign in with the key").click()
        expect(page.get_by_role("heading", name="Tasks")).to_be_visible()
        for route, path in made.pages().items():
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == (200 if READ[route].scope == "read" else 403), path
            if answer.status == 403:
                expect(page.get_by_role("alert")).to_contain_text("Your sign-in does not allow this.")
            pressed = page.locator("main form[method=post]").evaluate_all("all => all.map(one => one.action)")
            assert {urlsplit(one).path for one in pressed} <= {"/tasks/views"}, path
            led = page.locator("a[href^='/']").evaluate_all("all => all.map(one => one.getAttribute('href'))")
            assert not [one for one in led if re.search("/(again|change|edit|delete|new|submit|keys|audit)$", one)]


def test_no_script_reads_the_session(stack: Stack) -> None:
    with stack.page() as page:
        (session,) = (one for one in page.context.cookies() if one["name"].endswith("taskyard_session"))
        assert (session["httpOnly"], session["sameSite"]) == (True, "Lax")
        assert "session" not in page.evaluate("document.cookie")
        assert session["value"] not in page.content()
