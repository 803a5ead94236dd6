"""The plans of a verb: its statements run again under EXPLAIN (ANALYZE, BUFFERS)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "


@dataclass(frozen=True)
class Plan:
    """The plan of one statement, as PostgreSQL prints it."""

    root: dict[str, Any]

    def nodes(self) -> Iterator[dict[str, Any]]:
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            waiting.extend(node.get("Plans", ()))
            yield node

    @property
    def buffers(self) -> int:
        """Pages read, from memory or disk, with those of triggers and temporary files."""
        kinds = ("Shared Hit Blocks", "Shared Read Blocks", "Temp Read Blocks", "Temp Written Blocks")
        return sum(int(self.root.get(kind, 0)) for kind in kinds)

    def scans(self, relation: str) -> list[str]:
        """How the table was read: node types, with the index where there is one."""
        return [
            " ".join(filter(None, (n["Node Type"], n.get("Index Name"))))
            for n in self.nodes()
            if n.get("Relation Name") == relation and "Scan" in n["Node Type"]
        ]

    @property
    def seq_scans(self) -> set[str]:
        return {n["Relation Name"] for n in self.nodes() if n["Node Type"] in {"Seq Scan", "Parallel Seq Scan"}}

    def __str__(self) -> str:
        lines: list[str] = []

        def draw(node: dict[str, Any], depth: int) -> None:
            where = " ".join(str(node[k]) for k in ("Index Name", "Relation Name", "CTE Name") if k in node)
            pages = node.get("Shared Hit Blocks", 0) + node.get("Shared Read Blocks", 0)
            conditions = ("Index Cond", "Recheck Cond", "Filter", "Sort Key")
            said = "; ".join(f"{k}: {node[k]}" for k in conditions if k in node)
            lines.append(
                f"{'  ' * depth}{node['Node Type']} {where} rows={node.get('Actual Rows')}"
                f" loops={node.get('Actual Loops')} removed={node.get('Rows Removed by Filter', 0)}"
                f" pages={pages} {said}"
            )
            for inner in node.get("Plans", ()):
                draw(inner, depth + 1)

        draw(self.root, 0)
        return "\n".join(lines)


_EXPLICABLE = re.compile(r"\s*(/\*.*?\*/)?\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)


def plans_of(conn: Connection, verb: Callable[[Connection], object]) -> list[Plan]:
    """The plans of the statements that `verb` executes. Everything it wrote is undone; `conn` is in a transaction."""
    statements: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *rest: Any) -> None:
        statements.append((statement, parameters))

    sa.event.listen(conn, "before_cursor_execute", note)
    try:
        with conn.begin_nested() as undone:
            verb(conn)
            undone.rollback()
    finally:
        sa.event.remove(conn, "before_cursor_execute", note)
    found = []
    with conn.begin_nested() as undone:
        for statement, parameters in statements:
            if _EXPLICABLE.match(statement):
                (document,) = conn.exec_driver_sql(_EXPLAIN + statement, parameters).scalar_one()
                found.append(Plan(document["Plan"]))
        undone.rollback()
    return found
