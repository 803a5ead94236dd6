"""The console in a browser before a real stack, with JavaScript and without."""

from __future__ import annotations

import re
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import expect

from tests.support.browsing import Stack, no_faults

pytestmark = [
    *(pytest.mark.e2e, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)),
    pytest.mark.xdist_group("console"),
]
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
WITHOUT_JS = {"java_script_enabled": False}


@pytest.fixture(scope="module")
def stack(console_stack: Stack) -> Stack:
    return console_stack


def sleeping(stack: Stack, seconds: float = 600) -> str:
    return str(stack.client.submit("diagnostics.sleep", {"seconds": seconds}).id)


def test_the_link_that_is_printed_signs_in_once(stack: Stack) -> None:
    link = stack.link()
    with stack.page(signed_in=False) as page:
        page.goto(link)
        expect(page).to_have_title(re.compile("^Overview"))
    with stack.page(signed_in=False) as page:
        page.goto(link)
        expect(page.get_by_role("status")).to_contain_text("This link was used")


@pytest.mark.parametrize("options", [{}, WITHOUT_JS], ids=["with-js", "without-js"])
def test_a_key_signs_in_and_out(stack: Stack, options: dict[str, bool]) -> None:
    with stack.page(signed_in=False, **options) as page:
        page.goto("/tasks?state=failed")
        page.get_by_label("API key").fill("ty_wrong")
        page.get_by_role("button", name="Sign in with the key").click()
        expect(page.get_by_role("alert")).to_contain_text("There is no such API key.")
        page.get_by_label("API key").fill(stack.env["TASKYARD_API_KEY"])
        page.get_by_role("button", name="Sign in with the key").click()
        expect(page).to_have_url(re.compile(r"/tasks\?state=failed$"))
        page.locator("summary", has_text="bootstrap").click()
        page.get_by_role("button", name="Sign out").click()
        page.goto("/tasks")
        expect(page).to_have_url(re.compile("/sign-in"))


@pytest.mark.parametrize("options", [{}, WITHOUT_JS], ids=["with-js", "without-js"])
def test_a_running_task_is_found_and_cancelled(stack: Stack, options: dict[str, bool]) -> None:
    task_id = sleeping(stack)
    with stack.page(**options) as page:
        page.get_by_role("combobox", name="Task type").fill("diagnostics.sleep")
        page.get_by_role("button", name="Filter").click()
        expect(page).to_have_url(re.compile("name=diagnostics.sleep"))
        page.get_by_role("link", name=task_id).click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("status")).to_contain_text(re.compile("cancel|stop", re.IGNORECASE))
    assert stack.client.wait(task_id, timeout=30).state == "cancelled"


@pytest.mark.parametrize("options", [{}, WITHOUT_JS], ids=["with-js", "without-js"])
def test_several_tasks_are_cancelled_after_a_preview_and_run_again(stack: Stack, options: dict[str, bool]) -> None:
    ids = [sleeping(stack) for _ in range(2)]
    with stack.page(**options) as page:
        for task_id in ids:
            page.get_by_role("checkbox", name=task_id).check()
        page.get_by_role("button", name="Cancel the selected").click()
        expect(page.get_by_role("heading", name="Cancel these tasks?")).to_be_visible()
        assert {stack.client.task(task_id).is_final for task_id in ids} == {False}
        no_faults(page) if not options else None
        page.get_by_role("button", name="Cancel them").click()
        expect(page.get_by_role("heading", name="2 tasks changed.")).to_be_visible()
        no_faults(page) if not options else None
        assert {stack.client.wait(task_id, timeout=30).state for task_id in ids} == {"cancelled"}
        page.get_by_role("button", name="Undo: run them again").click()
        page.get_by_role("button", name="Retry them").click()
        expect(page.get_by_role("heading", name="2 tasks changed.")).to_be_visible()
    assert {stack.client.task(task_id).is_final for task_id in ids} == {False}
    stack.client.cancel_many(ids)


def test_a_list_and_a_task_follow_what_happens(stack: Stack) -> None:
    with stack.page() as page:
        page.wait_for_timeout(1_500)  # the page listens
        task_id = sleeping(stack, 4)
        expect(page.get_by_role("link", name=task_id)).to_be_visible()
        page.goto(f"/tasks/{task_id}")
        standing = page.locator("#standing .standing")
        expect(standing).to_contain_text("succeeded", timeout=20_000)
        expect(page.locator("#result")).to_contain_text("slept_seconds")
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_what_the_reader_is_doing_survives_an_update(stack: Stack) -> None:
    task_id = sleeping(stack)
    with stack.page() as page:
        page.get_by_role("link", name=task_id).focus()
        page.get_by_role("combobox", name="Queue").fill("half-typed")
        page.get_by_role("link", name=task_id).focus()
        other = sleeping(stack)
        expect(page.get_by_role("link", name=other)).to_be_visible()
        expect(page.get_by_role("link", name=task_id)).to_be_focused()
        expect(page.get_by_role("combobox", name="Queue")).to_have_value("half-typed")
    stack.client.cancel_many([task_id, other])


def test_nothing_of_a_task_becomes_html(stack: Stack) -> None:
    task = stack.client.submit("diagnostics.echo", {"value": {HOSTILE: HOSTILE}}, tags=["a b'\"<i>"])
    stack.client.wait(task.id, timeout=30)
    with stack.page() as page:
        for path in (f"/tasks/{task.id}", f"/tasks?name={quote(HOSTILE)}", f"/tasks?tag={quote(HOSTILE)}", "/tasks"):
            page.goto(path)
            page.wait_for_timeout(300)
            assert "owned" not in page.title()
            assert page.locator("main script, main img, main i").count() == 0


def test_the_keyboard_alone_leads_anywhere(stack: Stack) -> None:
    with stack.page() as page:
        page.keyboard.press("/")
        expect(page.get_by_role("combobox", name="Task type")).to_be_focused()
        page.keyboard.press("Escape")
        page.locator("main").focus()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        page.goto("/nowhere")
        page.keyboard.press("g")
        page.keyboard.press("t")
        expect(page.get_by_role("heading", name="Tasks")).to_be_visible()


def test_a_reader_switches_the_shortcuts_off(stack: Stack) -> None:
    with stack.page() as page:
        page.locator("header details.menu summary").click()
        page.get_by_label("Keyboard shortcuts").select_option("off")
        page.locator("form[action$='/choices'] button").click()
        expect(page.locator("body")).to_have_attribute("data-shortcuts", "off")
        page.locator("main").focus()
        page.keyboard.press("/")
        expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize(("language", "title"), [("de", "Aufgaben"), ("fr", "Tâches"), ("hu", "Feladatok")])
def test_pages_speak_the_readers_language_and_keep_it(stack: Stack, language: str, title: str) -> None:
    with stack.page(locale=language) as page:
        expect(page.get_by_role("heading", name=title)).to_be_visible()
        page.locator("header details.menu summary").click()
        page.locator("select[name=language]").select_option("en")
        page.locator("form[action$='/choices'] button").click()
        expect(page.get_by_role("heading", name="Tasks")).to_be_visible()


def test_times_are_in_the_readers_zone(stack: Stack) -> None:
    task = stack.client.submit("diagnostics.echo", {"value": 1})
    with stack.page(timezone_id="America/Bogota") as page:
        page.goto(f"/tasks/{task.id}")
        expect(page.locator("main time").first).to_have_attribute("title", re.compile(r"-05:00 America/Bogota$"))


def test_a_page_of_another_site_cannot_frame_or_press_anything(stack: Stack) -> None:
    task_id = sleeping(stack)
    with stack.page() as page:
        form = f"<form method=post action='{stack.url}/tasks/{task_id}/cancel'><button>x</button></form>"
        page.goto(f"data:text/html,{quote(form)}")
        page.get_by_role("button").click()
        expect(page.locator("body")).not_to_contain_text("asked to stop")
    assert not stack.client.task(task_id).is_final
    stack.client.cancel(task_id)


def test_the_service_answers_probes(stack: Stack) -> None:
    assert httpx.get(f"{stack.url}/health/ready").json() == {"status": "ok"}
    assert httpx.get(f"{stack.url}/health/live").json() == {"status": "ok"}
