"""docs/moving.md sends people to task types that there are."""

from __future__ import annotations

import re

from taskyard.catalogue.kits import load
from taskyard.settings import Settings
from tests.support.docs import DOCS

_ROW = re.compile(r"^\| .+? \| (.+?) \|", re.MULTILINE)
_TYPE = re.compile(r"`([a-z_]+\.[a-z_]+)`")


def test_every_type_of_the_page_exists() -> None:
    named = {name for here in _ROW.findall((DOCS / "moving.md").read_text("utf-8")) for name in _TYPE.findall(here)}
    here = {task_type.name for task_type in load(Settings(diagnostics=True)).catalogue}
    assert named - here == set()
    assert len(named) > 20
