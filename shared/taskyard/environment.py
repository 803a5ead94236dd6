"""Where settings come from: the environment, a directory of secrets, and the development stack's files.

A secret may come from a file in `TASKYARD_SECRETS_DIR` that has the name of its variable. A development stack writes
two files: `.taskyard/dev.env`, which is read where the environment names no database, no Redis and no API; and
`services.env`, the settings of its services, which is read where the environment names that stack's servers or none.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args
from urllib.parse import quote

from pydantic import AliasChoices, ValidationError
from pydantic_settings import BaseSettings

from .settings import Settings, is_production
from .settings_groups import KitSettings

_POINTS_SOMEWHERE = (
    "TASKYARD_DATABASE_URL",
    "DATABASE_URL",
    "TASKYARD_REDIS_URL",
    "REDIS_URL",
    "REDIS_HOST",
    "TASKYARD_URL",
)
# Part of every secret that the repository itself names: those of docker-compose.yml.
_DEVELOPMENT_ONLY = "development-only"

S = TypeVar("S", bound=BaseSettings)


class InvalidSettings(Exception):
    """A setting has an invalid value; the message is one line that names the variable."""


def read_settings(**overrides: Any) -> Settings:
    """Settings from the environment, a secrets directory and the development stack's file.

    `overrides` come from command-line flags, by field name, and win; None: the flag was not given.

    Raises InvalidSettings with one line that names the variable.
    """
    return _read(Settings, overrides)


def read_kit_settings(cls: type[S]) -> S:
    """The settings of a kit. A class that derives from KitSettings is read as the platform's settings are; any other
    one reads the environment by itself.

    Raises InvalidSettings with one line that names the variable, and whatever a class of another kind raises.
    """
    if issubclass(cls, KitSettings):
        return _read(cls, {})
    prefix = str(cls.model_config.get("env_prefix") or "").upper()
    try:
        return cls()
    except ValidationError as e:
        variables = {name: f"{prefix}{name.upper()}" for name in cls.model_fields}
        raise InvalidSettings(_one_line(e, variables)) from None


def _read(cls: type[S], overrides: Mapping[str, Any]) -> S:
    # An empty variable counts as not set: compose files pass `NAME: ${NAME:-}`.
    environ = {name: value for name, value in os.environ.items() if value}
    if directory := environ.get("TASKYARD_SECRETS_DIR"):
        environ = {**_secret_files(Path(directory)), **environ}
    environ = {**_development_env(environ), **environ}
    in_parts = "REDIS_HOST" in environ and not ({"TASKYARD_REDIS_URL", "REDIS_URL"} & environ.keys())
    if in_parts:
        environ["REDIS_URL"] = _redis_url_from_parts(environ)
    values: dict[str, Any] = {}
    variables: dict[str, str] = {}
    for name, field in cls.model_fields.items():
        alias = field.validation_alias
        assert isinstance(alias, AliasChoices)
        variables[name] = next((str(a) for a in alias.choices if str(a) in environ), str(alias.choices[0]))
        if variables[name] in environ:
            values[name] = environ[variables[name]]
    for name, text in values.items():
        annotation = cls.model_fields[name].annotation
        # Pydantic reads `1_0` as ten.
        if "_" in text and {int, float}.intersection(get_args(annotation) or (annotation,)):
            raise InvalidSettings(f"{variables[name]}: must be a number in digits")
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        found = cls.model_validate(values)
    except ValidationError as e:
        raise InvalidSettings(_one_line(e, variables)) from None
    if is_production(environ.get("TASKYARD_APP_ENV") or environ.get("APP_ENV", "")):
        _refuse_known_values(values, variables)
    return found


def _refuse_known_values(values: Mapping[str, object], variables: Mapping[str, str]) -> None:
    """All of them in one line, so that a person corrects them in one go."""
    if known := [variables[name] for name, value in values.items() if _DEVELOPMENT_ONLY in str(value)]:
        raise InvalidSettings(
            f"{', '.join(known)}: APP_ENV=production refuses development values, which everybody knows"
        )


def _one_line(error: ValidationError, variables: dict[str, str]) -> str:
    """The first error, after the name of the variable that was set, which may be one of the older names."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    message = " ".join(str(first["msg"]).removeprefix("Value error, ").split())
    name = str(first["loc"][0]) if first["loc"] else ""
    variable = variables.get(name) or variables.get(name.removeprefix("TASKYARD_").lower(), name)
    return f"{variable}: {message}" if name else message


def _development_env(environ: dict[str, str]) -> dict[str, str]:
    directory = Path(environ.get("TASKYARD_DATA_DIR", ".taskyard"))
    stack = read_env_file(directory / "dev.env")
    pointed = [name for name in _POINTS_SOMEWHERE if name in environ]
    if not stack or any(environ[name] != stack.get(name) for name in pointed):
        return {}
    # With pointers, dev.env was sourced, and the environment has what this process is meant to have. The rest of the
    # file holds an API key, which services must not get.
    services = read_env_file(directory / "services.env")
    # A server that the environment names by its host is named as a whole: the stack's port and password are another's.
    named = tuple(name.removesuffix("HOST") for name in environ if name.endswith("_HOST"))
    return {name: value for name, value in services.items() if not name.startswith(named)} | ({} if pointed else stack)


def _secret_files(directory: Path) -> dict[str, str]:
    try:
        found = {p.name.upper(): p.read_text("utf-8").strip() for p in directory.iterdir() if p.is_file()}
    except OSError as e:
        raise InvalidSettings(f"TASKYARD_SECRETS_DIR: cannot read {e.filename or directory}: {e.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidSettings(f"TASKYARD_SECRETS_DIR: a file in {directory} is not text in UTF-8") from None
    return {name: value for name, value in found.items() if value}


def _redis_url_from_parts(environ: dict[str, str]) -> str:
    password = quote(environ.get("REDIS_PASSWORD", ""), safe="")
    host, port, db = (environ.get(f"REDIS_{k}", d) for k, d in (("HOST", ""), ("PORT", "6379"), ("DB", "0")))
    return f"redis://{':' + password + '@' if password else ''}{host}:{port}/{db}"


def read_env_file(path: Path) -> dict[str, str]:
    """The variables in a file of `NAME=value` lines; none where it is missing or unreadable."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): _unquoted(value.strip()) for name, _, value in pairs}


def env_file(values: Mapping[str, str]) -> str:
    """The text of a file with these variables, which a shell can source."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _unquoted(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError:  # an unclosed quote is part of the value
        return value
    # Several words without quotes were written by hand, and meant as one value.
    return words[0] if len(words) == 1 else value
