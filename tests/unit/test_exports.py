"""`taskyard` offers what a package with tasks needs, and importing it alone loads none of it."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import taskyard


@pytest.mark.parametrize("name", taskyard.__all__)
def test_each_name_is_the_object_of_its_home(name: str) -> None:
    home = importlib.import_module(f"taskyard.{taskyard._HOMES[name]}")
    assert getattr(taskyard, name) is getattr(home, name)
    assert name in dir(taskyard)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        taskyard.nothing_of_the_kind  # noqa: B018


def modules_after(code: str) -> set[str]:
    program = f"import sys; before = set(sys.modules); {code}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return {name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}


def test_importing_taskyard_alone_imports_nothing_else() -> None:
    assert modules_after("import taskyard") == {"taskyard"}


def test_a_declaration_needs_neither_a_database_nor_redis() -> None:
    loaded = {name.partition(".")[0] for name in modules_after("from taskyard import task, Params, Secret, Retry, Kit")}
    assert loaded.isdisjoint({"sqlalchemy", "psycopg", "redis", "dramatiq", "alembic", "cryptography", "httpx"})
    assert "pydantic" in loaded
