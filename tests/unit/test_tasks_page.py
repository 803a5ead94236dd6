"""docs/tasks.md: every block of Python runs as the page says, and every task on it is run."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.catalogue.declare import task
from taskyard.catalogue.kit import Kit
from taskyard.catalogue.types import TaskType, type_of
from taskyard.domain.retry import RetryPolicy
from taskyard.running.hooks import MOMENTS
from taskyard.running.trial import Options
from taskyard.store import ledger
from taskyard.testing import run_task
from tests.support.docs import DOCS, code_blocks

# Parameters for each task of the page, and its result.
RUNS: dict[str, tuple[dict[str, Any], Any]] = {
    "billing.address": ({"first": "Ada", "last": "Lovelace"}, "Lovelace, Ada"),
    "billing.ask": ({"answers": ["yes"]}, "yes"),
    "billing.ask_bank": ({"status": 200, "retry_after": 7}, "fine"),
    "billing.book": ({"amount": 3}, None),
    "billing.booked": ({}, 3),
    "billing.charge": ({"customer": "ada", "amount": 1, "card": "1"}, None),
    "billing.greet": ({"customer": "ada"}, "Hello ada"),
    "billing.greet_all": ({"customers": ["ada"]}, 1),
    "billing.invoice": ({"customer": "ada", "amount": 9.5}, {"number": "2026-17"}),
    "billing.invoice_by_model": ({"customer": "ada"}, {"number": "2026-en"}),
    "billing.price": ({"amount": 3}, "3 EUR"),
    "billing.remind": ({"count": 3}, 3),
    "billing.report": ({"pages": 2}, 2),
}


def files() -> dict[str, str]:
    """The blocks by the file that their first line names."""
    blocks = code_blocks("tasks.md")
    assert all(block.startswith("# billing/") for block in blocks), "each block says in which file it stands"
    return {block.partition("\n")[0].removeprefix("# "): block for block in blocks}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The page's modules, imported."""
    for path, text in files().items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files()]
    yield {name: importlib.import_module(name) for name in names}
    for name in [name for name in sys.modules if name.partition(".")[0] == "billing"]:
        del sys.modules[name]


def declared(page: dict[str, ModuleType]) -> dict[str, TaskType[Any, Any]]:
    types = [type_of(value) for module in page.values() for value in vars(module).values()]
    return {found.name: found for found in types if found is not None}


@pytest.fixture
def task_engine(task_url: str) -> Iterator[Engine]:
    """With the table that the page's tasks use, which the role of tasks has made."""
    engine = ledger.make_engine(task_url)
    with ledger.transaction(engine) as conn:
        conn.execute(sa.text("CREATE TABLE booking (task uuid PRIMARY KEY, amount int NOT NULL)"))
    yield engine
    with ledger.transaction(engine) as conn:
        conn.execute(sa.text("DROP TABLE booking"))
    engine.dispose()


def test_every_task_of_the_page_runs(page: dict[str, ModuleType], task_engine: Engine) -> None:
    types = declared(page)
    assert types.keys() == RUNS.keys()
    for name, (params, result) in RUNS.items():
        settings = page["billing.settings"].BillingSettings()
        assert run_task(types[name], params, settings=settings, engine=task_engine).result == result, name


def test_every_test_of_the_page_passes(page: dict[str, ModuleType]) -> None:
    tests = [
        value
        for name, module in page.items()
        for value in vars(module).values()
        if name.rpartition(".")[2].startswith("test_") and inspect.isfunction(value) and value.__name__[:5] == "test_"
    ]
    assert len(tests) == 6
    for test in tests:
        test()


def test_the_kit_of_the_page_names_modules_and_settings_of_the_page(page: dict[str, ModuleType]) -> None:
    kit = page["billing"].KIT
    assert isinstance(kit, Kit)
    assert set(kit.modules) <= page.keys()
    module, _, name = str(kit.settings).partition(":")
    assert hasattr(page[module], name)
    assert 'billing = "billing:KIT"' in "".join(code_blocks("tasks.md", "toml"))


def test_parameters_of_the_lower_version_are_upgraded(page: dict[str, ModuleType]) -> None:
    address = declared(page)["billing.address"]
    assert address.upgraded({"name": "Ada Lovelace"}, 1) == {"first": "Ada", "last": "Lovelace"}


def test_the_readme_shows_the_first_task_of_the_page() -> None:
    first, *_ = code_blocks("../README.md")
    assert first.strip() == files()["billing/first.py"].partition("\n")[2].strip()


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("@task", list(inspect.signature(task).parameters)[1:]),
        ("Kit", [field.name for field in fields(Kit)][2:]),
        ("RetryPolicy", [field.name for field in fields(RetryPolicy)]),
        ("Hook", MOMENTS),
        ("run_task", list(Options.__annotations__)),
    ],
)
def test_the_page_names_every_option(what: str, names: Sequence[str]) -> None:
    """In the first column of a table."""
    columns = [line.split("|")[1] for line in (DOCS / "tasks.md").read_text("utf-8").splitlines() if line[:1] == "|"]
    named = {name for column in columns for name in re.findall(r"`(\w+)[`(]", column)}
    assert set(names) - named == set(), what
