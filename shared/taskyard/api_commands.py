"""What the commands that talk to the API share: its address, the key, and a client."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer

from taskyard_client import ApiAway, ApiRefused, Client, Retries

from .commands import AWAY, FAILED, USAGE, fail, settings_or_exit
from .output import visible
from .settings import Settings

Url = Annotated[str | None, typer.Option("--url", envvar="TASKYARD_URL", help="Where the API is.")]
Key = Annotated[str | None, typer.Option("--api-key", envvar="TASKYARD_API_KEY", help="The API key.")]
# Someone waits at a terminal.
_RETRIES = Retries(attempts=3)


def language_of(environment: Mapping[str, str]) -> str | None:
    """That of the terminal, as `Accept-Language` has it; None where it names none."""
    name = next(filter(None, map(environment.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    language = name.partition(".")[0].partition("@")[0].replace("_", "-")
    return None if language in {"", "C", "POSIX"} or not language.isascii() else language


def api_settings(program: str, url: str | None, api_key: str | None, log_level: str | None) -> Settings:
    """The settings, with logs of libraries where `log_level` asks for them. Exits with 2 for a wrong one."""
    settings = settings_or_exit(program, url=url, api_key=api_key, log_level=log_level)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    # The services' level `info` would clutter a terminal, so only an explicit --log-level counts here.
    logging.basicConfig(level=max(level, logging.WARNING) if log_level is None else level)
    return settings


@contextmanager
def client_or_exit(
    program: str, url: str | None, api_key: str | None, log_level: str | None, *, language: str | None = None
) -> Iterator[Client]:
    """Exits with 2 for a wrong setting, 3 where the API is away, 1 where it refuses."""
    settings = api_settings(program, url, api_key, log_level)
    key = settings.api_key.get_secret_value() if settings.api_key else None
    try:
        client = Client(settings.url, key, language=language, retries=_RETRIES)
    except ValueError as e:
        fail(program, str(e), USAGE)
    try:
        yield client
    except ApiAway as e:
        fail(program, str(e), AWAY)
    except ApiRefused as e:
        for line in e.lines():
            typer.echo(visible(line), err=True)
        raise typer.Exit(FAILED) from None
    finally:
        client.close()
