"""Only the composer changes a task's state, and only archiving deletes tasks: no other statement of ours writes to the
table, wherever it stands."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("shared", "services", "devstack", "kits", "clients", "benchmarks", "deploy")
COMPOSER = Path("shared/taskyard/lifecycle/composer.py")
ARCHIVE = Path("shared/taskyard/lifecycle/archive.py")
# Three updates that move no task: of what final tasks hold of a person, of their address in others, and in keys of
# limits.
ERASE = Path("shared/taskyard/lifecycle/erase.py")
FILLS = Path("benchmarks/console_ledger.py")  # a ledger that is measured, before anything runs

_WRITES = re.compile(
    r"\b(update|insert\s+into|merge\s+into|delete\s+from|truncate(\s+table)?|copy)\s+(only\s+)?"
    r'("?\w+"?\s*\.\s*)?"?task"?(?!\w)',
    re.IGNORECASE,
)
_CALLS = {"insert", "update", "delete", "merge"}


def writes(source: str) -> Iterator[int]:
    """The lines on which Python code writes to the table `task`, in SQL or by SQLAlchemy's functions."""
    tree = ast.parse(source)
    tables = {"task"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and "tables" in (node.module or ""):
            tables |= {alias.asname for alias in node.names if alias.name == "task" and alias.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) and _WRITES.search(_text(node)):
            yield node.lineno
        if isinstance(node, ast.Call) and _is_core_write(node, tables):
            yield node.lineno


def _text(node: ast.AST) -> str:
    """What is known of a text: values that are put in later are a gap."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(value) for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
    return ""


def _is_core_write(call: ast.Call, tables: set[str]) -> bool:
    """`sa.update(task)`, `insert(tables.task)`, `task.delete()`."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            pass
        case _:
            return False
    if name not in _CALLS:
        return False
    if any(_names_task(argument, tables) for argument in call.args[:1]):
        return True
    return isinstance(call.func, ast.Attribute) and _names_task(call.func.value, tables)


def _names_task(node: ast.AST, tables: set[str]) -> bool:
    match node:
        case ast.Name(id=name):
            return name in tables
        case ast.Attribute(value=ast.Name(id="tables"), attr=name) | ast.Attribute(attr=("task" as name)):
            return name == "task"
    return False


def test_no_statement_but_the_composers_a_delete_and_erasures_writes_to_the_table_of_tasks() -> None:
    found: set[str] = set()
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*")):
            if ".venv" in path.parts or path.suffix not in {".py", ".sql", ".sh", ".mako"}:
                continue
            text = path.read_text("utf-8")
            lines = writes(text) if path.suffix == ".py" else (m.start() for m in _WRITES.finditer(text))
            found |= {f"{path.relative_to(ROOT)}:{line}" for line in lines}
    counted = Counter(place.partition(":")[0] for place in found)
    assert counted == {str(COMPOSER): 2, str(ARCHIVE): 1, str(ERASE): 3, str(FILLS): 2}, found
    assert "DELETE FROM task USING" in (ROOT / ARCHIVE).read_text("utf-8")


@pytest.mark.parametrize(
    "code",
    [
        "x = \"UPDATE task SET state = 'failed'\"",
        "x = 'update  only\\n \"task\" t set state = 1'",
        "x = f'WITH a AS ({b}) UPDATE public.task SET {c}'",
        "x = 'UPDATE ' + 'task' + f' SET {c}'",
        "x = 'INSERT INTO task (id) VALUES (1)'",
        "x = 'DELETE FROM task WHERE id = 1'",
        "x = 'MERGE INTO task t USING u ON true'",
        "sa.update(task).values(state='failed')",
        "conn.execute(insert(tables.task))",
        "task.update().where(True)",
        "from taskyard.store.tables.tasks import task as t\nsa.delete(t)",
    ],
)
def test_the_search_finds_a_statement_however_it_is_written(code: str) -> None:
    assert list(writes(code))


@pytest.mark.parametrize(
    "code",
    [
        "x = 'UPDATE task_progress SET current = 1'",
        "x = 'DELETE FROM unique_key WHERE task_id = 1'",
        "x = 'SELECT FROM task FOR UPDATE'",
        "sa.update(worker).values(state='lost')",
    ],
)
def test_the_search_leaves_other_statements_alone(code: str) -> None:
    assert not list(writes(code))
