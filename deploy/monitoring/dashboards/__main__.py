"""Writes deploy/monitoring/grafana/dashboards/*.json (`make dashboards`)."""

from __future__ import annotations

from pathlib import Path

from . import DIRECTORY, files


def write(directory: Path) -> None:
    """The files as they shall be, and no others."""
    made = files()
    for old in set(directory.glob("*.json")) - {directory / name for name in made}:
        old.unlink()
    for name, text in made.items():
        (directory / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write(DIRECTORY)
