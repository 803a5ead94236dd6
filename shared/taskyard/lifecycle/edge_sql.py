"""Edges of the transition table, and lists of columns, as SQL."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from ..domain.tasks import Edge


def guard(edges: Iterable[Edge], column: str = "t.state") -> str:
    """That the row is in a state which one of the edges leads out of."""
    return is_one_of(column, [state for state, _ in edges if state is not None])


def is_one_of(column: str, words: Iterable[str]) -> str:
    listed = ", ".join(f"'{word}'" for word in dict.fromkeys(words))
    return f"{column} IN ({listed})" if "," in listed else f"{column} = {listed}"


def is_along(row: str, edges: Iterable[Edge]) -> str:
    pairs = ", ".join(f"('{state}', '{event}')" for state, event in edges)
    return f"({row}.before, {row}.event) IN ({pairs})"


def condition(edges: Sequence[Edge], inside: Collection[Edge], row: str) -> str:
    """In SQL: the row moves along one of the edges `inside`, knowing that it is one of `edges`."""
    if len(inside) == len(edges):
        return "true"
    if len({event for _, event in edges}) == 1:
        return guard(inside, f"{row}.before")
    events = [event for _, event in inside]
    if all((edge in inside) == (edge[1] in events) for edge in edges):
        return is_one_of(f"{row}.event", events)
    return is_along(row, inside)


def case(edges: Sequence[Edge], values: Mapping[Edge, str], otherwise: str = "NULL", *, row: str = "l") -> str:
    """The expression for the edge that the row moves along; `otherwise` where it has none."""
    found: dict[str, list[Edge]] = {}
    for edge in edges:
        found.setdefault(values.get(edge, otherwise), []).append(edge)
    if len(found) == 1:
        return next(iter(found))
    default = otherwise if otherwise in found else next(reversed(found))
    whens = (
        f"WHEN {condition(edges, inside, row)} THEN {value}" for value, inside in found.items() if value != default
    )
    return f"CASE {' '.join(whens)} ELSE {default} END"


def listed(columns: Mapping[str, str]) -> str:
    """A list of expressions with their names."""
    return ", ".join(sql if re.fullmatch(rf"\w+\.{name}", sql) else f"{sql} AS {name}" for name, sql in columns.items())
