"""The names that queues may have."""

from __future__ import annotations

import re

# The name becomes part of a key in Redis, next to Dramatiq's (`.DQ`, `.XQ`, `.msgs`) and ours (broker/names.py).
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_TAKEN = frozenset({"lanes", "epoch", "events", "control", "wake-scheduler"})


def check_queue_name(name: str) -> None:
    """Raises ValueError."""
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise ValueError(
            f"{name[:80]!r} cannot name a queue: a letter, then letters, digits, '_' or '-', at most 63,"
            f" and none of {', '.join(sorted(_TAKEN))}"
        )
