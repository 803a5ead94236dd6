"""The names that task types may have."""

from __future__ import annotations

import re

# The name stands in addresses (/task-types/NAME), file names and metrics, as it is: nothing in it needs an escape.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_type_name(name: str) -> None:
    """Raises ValueError. How long it may be is said where it is stored."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} cannot name a task type: a letter or digit, then letters, digits, '.', '_' or '-'"
        )
