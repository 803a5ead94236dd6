"""Whether the processor's time for a text grows linearly with its length."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T", str, bytes)

LENGTH = 40_000
# Of four times the length: 4 where the time is linear, 16 where it is quadratic.
TIMES = 8
# Too short to be compared.
SECONDS = 0.02


def seconds(call: Callable[[T], object], text: T) -> float:
    began = time.thread_time()
    call(text)
    return time.thread_time() - began


def grows_linearly(call: Callable[[T], object], make: Callable[[int], T]) -> bool:
    """From LENGTH to twice and four times as much."""
    texts = [make(LENGTH), make(2 * LENGTH), make(4 * LENGTH)]
    least = [float("inf")] * len(texts)
    # Another process can make it slower, and nothing can make it faster: what counts is the best of several.
    for _ in range(6):
        least = [min(old, seconds(call, text)) for old, text in zip(least, texts, strict=True)]
        if least[2] < max(SECONDS, TIMES * least[0]) and least[1] < max(SECONDS, TIMES / 2 * least[0]):
            return True
    return False


def repeated(piece: T) -> Callable[[int], T]:
    return lambda length: (piece * (length // len(piece) + 1))[:length]
