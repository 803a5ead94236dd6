"""A page that is used by the keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page

_FIELDS = "input, textarea, select"
_MOST_TABS = 150
# What a live page has replaced is looked for again.
_FOCUS = """one => {
    if (!one.isConnected) return "gone";
    if (one !== document.activeElement) return "";
    return getComputedStyle(one).outlineStyle === "none" ? "unseen" : "seen";
}"""
TICK = " "
# A button, link or fold that is pressed; a field with what is typed, or ticked, in it.
Step = str | tuple[str, str] | Callable[[Page], Locator]


def take(page: Page, step: Step) -> None:
    match step:
        case (label, text):
            reach(page, page.locator(_FIELDS).and_(page.get_by_label(label)).first)
            if text == TICK:
                page.keyboard.press("Space")
            else:
                page.keyboard.press("Control+A")
                page.keyboard.type(text)
        case str(name):
            buttons = page.get_by_role("button", name=name, exact=True).or_(
                page.get_by_role("link", name=name, exact=True)
            )
            press(page, buttons.or_(page.locator("summary", has_text=re.compile(rf"^\s*{re.escape(name)}\s*$"))).first)
        case locate:
            press(page, locate(page))


def press(page: Page, button: Locator) -> None:
    """What leads to another page has been led to once this returns."""
    reach(page, button)
    if button.evaluate("one => one.matches('summary, [href^=\"#\"]')"):
        page.keyboard.press("Enter")
    else:
        with page.expect_navigation():
            page.keyboard.press("Enter")


def reach(page: Page, wanted: Locator) -> None:
    """By the tab key, and it is seen where the focus is."""
    handle = wanted.element_handle()
    for _ in range(_MOST_TABS):
        page.keyboard.press("Tab")
        found = handle.evaluate(_FOCUS)
        if found == "gone":
            handle = wanted.element_handle()
            found = handle.evaluate(_FOCUS)
        if found:
            assert found == "seen", f"nothing shows that {wanted} has the focus"
            return
    raise AssertionError(f"{wanted} is not reached by the tab key")
