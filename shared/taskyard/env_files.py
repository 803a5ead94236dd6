"""Files of `NAME=value` lines, as a development stack writes them; a shell can source them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path


def read_env_file(path: Path) -> dict[str, str]:
    """The variables in the file; none where the file is missing or unreadable."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): _unquoted(value.strip()) for name, _, value in pairs}


def env_file(values: Mapping[str, str]) -> str:
    """The text of a file with these variables."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _unquoted(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError:  # an unclosed quote is part of the value
        return value
    # Several words without quotes were written by hand, and meant as one value.
    return words[0] if len(words) == 1 else value
