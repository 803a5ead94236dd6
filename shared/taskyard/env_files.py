"""Files of `NAME=value` lines that a shell can source, as a development stack writes them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path


def read_env_file(path: Path) -> dict[str, str]:
    """The variables in the file; none where there is no such file."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): _unquoted(value.strip()) for name, _, value in pairs}


def env_file(values: Mapping[str, str]) -> str:
    """The text of such a file."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _unquoted(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError:  # a quote that is not closed belongs to the value
        return value
    # Several words without quotes: written by hand, and meant as one.
    return words[0] if len(words) == 1 else value
