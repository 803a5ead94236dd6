"""The scheduler knows task types for the names in its metrics only."""

from pathlib import Path

import pytest

from taskyard.catalogue import types
from taskyard.settings import Settings
from taskyard_scheduler.service import _catalogue


@pytest.mark.parametrize("text", ["import not_installed_here", "1 / 0", "syntax error"])
def test_a_task_module_that_cannot_be_imported_does_not_keep_it_from_leading(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken_types_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert _catalogue(Settings(task_modules=(name,))).names == types.load().names
