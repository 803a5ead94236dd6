"""The pages of the client show code that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.docs import DOCS, code_blocks

ROOT = DOCS.parent


@pytest.mark.parametrize("framework", ["fastapi", "flask", "django"])
def test_what_a_page_shows_stands_in_its_example(framework: str) -> None:
    files = (ROOT / "examples" / framework / "signup").glob("*.py")
    example = "\n".join(file.read_text("utf-8") for file in files)
    blocks = code_blocks(f"{framework}.md")
    assert len(blocks) >= 4
    # A page may show what stands in a function without its indentation.
    assert [block for block in blocks if "".join(block.split()) not in "".join(example.split())] == []


@pytest.mark.parametrize("page", [DOCS / "client.md", DOCS / "celery.md", ROOT / "clients/python/README.md"])
def test_the_code_of_the_other_pages_is_python(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        compile(block, page.name, "exec")


def test_the_example_of_an_eager_task_is_right() -> None:
    from taskyard_client import Client
    from taskyard_client.celery import Celery

    exec(code_blocks("celery.md")[1], {"Celery": Celery, "client": Client("http://nobody.invalid")})
