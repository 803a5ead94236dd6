"""Tables: each cell gets the place that HTML gives it (https://html.spec.whatwg.org/multipage/tables.html)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MAX_COLUMNS = 40


@dataclass
class Cell:
    blocks: list[dict[str, Any]]
    across: int = 1
    down: int = 1
    align: str | None = None
    is_head: bool = False


def table(rows: list[list[Cell]]) -> tuple[dict[str, Any] | None, int]:
    """The block of a table, None where it has no cells, and how many cells beyond MAX_COLUMNS were left out."""
    rows = [row for row in rows if row]
    heads = 0  # rows at the top that are the header, repeated on each page
    while heads < len(rows) and all(cell.is_head for cell in rows[heads]):
        heads += 1
    if heads == len(rows):
        heads = 0
    cells: list[dict[str, Any]] = []
    left_out, width = 0, 0
    taken: list[int] = [0] * MAX_COLUMNS  # for each column, the first row in which it is free
    for y, row in enumerate(rows):
        x = 0
        end = heads if y < heads else len(rows)
        for cell in row:
            while x < MAX_COLUMNS and taken[x] > y:
                x += 1
            if x == MAX_COLUMNS:
                left_out += 1
                continue
            across = 1
            while across < max(1, cell.across) and x + across < MAX_COLUMNS and taken[x + across] <= y:
                across += 1
            down = max(1, min(cell.down, end - y))
            taken[x : x + across] = [y + down] * across
            place = {"x": x, "y": y, "across": across, "down": down}
            cells.append({**place, "align": cell.align, "head": cell.is_head, "blocks": cell.blocks})
            x += across
            width = max(width, x)
    if not cells:
        return None, left_out
    return {"t": "table", "columns": width, "heads": heads, "cells": cells}, left_out
