"""What all commands of `taskyard-console` share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NoReturn

from taskyard import commands
from taskyard.settings import Settings

NAME = "taskyard-console"


def begin(*, log_level: str | None, needs: Collection[str] = (), **overrides: Any) -> Settings:
    """The settings, with logging set up. Ends the program with 2 where a setting is wrong, or one of `needs` is missing
    in production."""
    from taskyard.telemetry.logging import set_up_logging

    settings = commands.settings_or_exit(NAME, needs=needs, log_level=log_level, **overrides)
    set_up_logging("console", level=settings.log_level, style=settings.log_format)
    return settings


def fail(message: str, code: int) -> NoReturn:
    commands.fail(NAME, message, code)
