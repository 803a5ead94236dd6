"""Bisection: one item that cannot be written must not fail the batch it came with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def bisect(
    items: Sequence[T],
    write: Callable[[Sequence[T]], R],
    *,
    is_to_blame: Callable[[Exception], bool],
    alone: Callable[[T, Exception], R],
) -> list[R]:
    """What `write` returned for each part of the batch that it took, in the order of the items.

    Where it raises something that an item is to blame for (`is_to_blame`), the batch is halved until that item stands
    alone; `alone` decides what becomes of it. Everything else that `write` raises is raised. With one bad item among n,
    `write` is called about 2 * log2(n) times.
    """
    try:
        return [write(items)]
    except Exception as e:
        if not is_to_blame(e):
            raise
        if len(items) == 1:
            return [alone(items[0], e)]
    half = len(items) // 2
    return [
        *bisect(items[:half], write, is_to_blame=is_to_blame, alone=alone),
        *bisect(items[half:], write, is_to_blame=is_to_blame, alone=alone),
    ]
