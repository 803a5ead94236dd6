"""Links between the documents lead to files and headings that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.docs import DOCS

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
_LINK = re.compile(r"\]\(([^)#\s:]*)(?:#([^)\s]*))?\)")
_BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = _HEADING.findall(_BLOCK.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, text: str) -> list[str]:
    found = []
    for path, anchor in _LINK.findall(_BLOCK.sub("", text)):
        target = (page.parent / path) if path else page
        if not target.exists():
            found.append(path)
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text("utf-8")):
            found.append(f"{path}#{anchor}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text("utf-8")) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = DOCS / "capacity.md"
    text = "[a](nothing.md), [b](operations.md#no-such-heading), [c](#bytes), [d](operations.md#scaling)"
    assert broken(page, text) == ["nothing.md", "operations.md#no-such-heading"]
