"""What people come to the console for, as they would do it for the first time: from the overview on, by what is
written there. CONSOLE_PICTURES names a directory for the pictures of docs/console.md (make console-pictures)."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support.browsing import Stack
from tests.support.errands import MAIL_QUEUE, MAILS, Hand, Scene, errands, promised
from tests.support.fleet import wait_for

pytestmark = [
    *(pytest.mark.e2e, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)),
    pytest.mark.xdist_group("console"),
]
PICTURES = Path(os.environ["CONSOLE_PICTURES"]) if os.environ.get("CONSOLE_PICTURES") else None


@pytest.fixture(scope="module")
def stack(console_stack: Stack) -> Stack:
    return console_stack


@pytest.fixture(scope="module")
def scene(stack: Stack) -> Iterator[Scene]:
    with errands(stack) as made:
        yield made


@contextmanager
def errand(stack: Stack, title: str) -> Iterator[Hand]:
    """From the overview on; at the end, no more was pressed or filled in than the document says."""
    looks: dict[str, Any] = {"viewport": {"width": 1280, "height": 720}, "timezone_id": "UTC", "color_scheme": "light"}
    with stack.page("/", **looks) as page:
        hand = Hand(page, PICTURES)
        yield hand
        assert (hand.clicks, hand.fields) == promised()[title]


def test_why_last_night_s_import_failed_is_found_and_it_runs_again(stack: Stack, scene: Scene) -> None:
    with errand(stack, "why last night's import failed, and run it again") as hand:
        page = hand.page
        page.set_viewport_size({"width": 1280, "height": 1440})
        hand.keep("overview")
        page.set_viewport_size({"width": 1280, "height": 720})
        hand.click(page.get_by_role("link", name="The last task of the schedule nightly import failed."), "import-1")
        expect(page.locator("#why")).to_be_visible()
        expect(page.locator("#standing")).to_contain_text("The content of this file is gone.")
        scene.put_the_file_back()
        hand.click(page.get_by_role("button", name="Retry", exact=True), "import-2")
        expect(page.locator("#standing")).to_contain_text("succeeded", timeout=30_000)
    task = stack.client.task(scene.import_id)
    assert (task.state, task.result["inserted"]) == ("succeeded", 3)


def test_all_that_a_customer_submitted_is_stopped_and_nothing_else(stack: Stack, scene: Scene) -> None:
    with errand(stack, "stop everything that a customer submitted by mistake") as hand:
        page = hand.page
        hand.click(page.get_by_role("link", name="Tasks", exact=True))
        hand.click(page.locator("#tasks").get_by_role("link", name="customer:acme").first, "customer-1")
        hand.click(page.get_by_role("link", name="Cancel…"), "customer-2")
        expect(page.locator(".standing")).to_have_text("300 tasks fit.")
        hand.fill(page.get_by_label("Type 300 to confirm"), "300")
        hand.click(page.get_by_role("button", name="Cancel all of them"), "customer-3")
        expect(page).to_have_url(re.compile("/operations/"))
    wait_for(lambda: states(stack, "acme") == {"cancelled": 300}, 60, every=0.5)
    assert states(stack, "globex")["scheduled"] == 67


def test_why_nothing_was_mailed_for_an_hour_is_found_and_mended(stack: Stack, scene: Scene) -> None:
    mailed = Path(stack.env["TASKYARD_SMTP_SINK_DIR"])
    before = len(list(mailed.glob("*.eml")))
    with errand(stack, "why nothing has been mailed for an hour, and mend it") as hand:
        page = hand.page
        hand.click(page.get_by_role("link", name=f"The queue {MAIL_QUEUE} was paused by anna"), "mail-1")
        expect(page.locator("#standing")).to_contain_text("Paused by anna: nothing begins until it is resumed.")
        expect(page.locator("#standing")).to_contain_text(f"{MAILS} tasks wait")
        expect(page.locator("#types")).to_contain_text("email.send")
        hand.click(page.get_by_role("button", name="Resume"), "mail-2")
        expect(page.get_by_role("status")).to_contain_text("begin again")
    wait_for(lambda: len(list(mailed.glob("*.eml"))) == before + MAILS, 60, "the mails", every=0.5)


def states(stack: Stack, customer: str) -> Counter[str]:
    return Counter(task.state for task in stack.client.tasks(tag=f"customer:{customer}"))
