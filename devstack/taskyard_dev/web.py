"""The console of a development stack: a process beside the API, started once there is a key for it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet

from taskyard_dev import home, keys, layout
from taskyard_dev.console import Console
from taskyard_dev.errors import ServiceFailed
from taskyard_dev.layout import Plan, Ports
from taskyard_dev.service import Service, installed

# What the services have and the console does not need: it is a client of the API.
_NOT_FOR_IT = ("TASKYARD_DATABASE_URL", "TASKYARD_REDIS_URL", "TASKYARD_SECRET_KEYS", "TASKYARD_STORAGE_DIR")


def variables(
    plan: Plan, before: Mapping[str, str], free: Ports, url: str, common: Mapping[str, str]
) -> dict[str, str]:
    """The console's own settings, which `taskyard-console link` needs as well. Its key may not make keys: only the
    link signs in with the administrator's."""
    known = before.get("TASKYARD_CONSOLE_API_KEY", "")
    last = before.get("TASKYARD_CONSOLE_PORT", "")
    port = free.one_of(*([int(last)] if last.isdecimal() else []), *range(8100, 8110))
    return {
        "TASKYARD_CONSOLE_PORT": str(port),
        "TASKYARD_CONSOLE_API_KEY": keys.ensure_scoped(known, "console", ("read", "submit", "manage"), url, common),
        "TASKYARD_CONSOLE_SECRETS": home.secret(
            plan.data_dir / "console-secrets", lambda: Fernet.generate_key().decode()
        ),
    }


def service(
    plan: Plan, common: Mapping[str, str], own: Mapping[str, str], free: Ports, url: str, console: Console
) -> Service:
    """The service, with `own` variables."""
    environment = {name: value for name, value in common.items() if name not in _NOT_FOR_IT}
    environment |= {**own, "TASKYARD_URL": url, "TASKYARD_METRICS_PORT": str(free.one_of(9150))}
    command: list[str | Path] = [installed("taskyard-console"), "serve"]
    return Service("console", command, environment, console, stop_within=layout.STOPS_WITHIN)


def address(link: str) -> str:
    return link.partition("/sign-in/")[0]


def link(environment: Mapping[str, str], key: str) -> str:
    """A link that signs in once, with `key`."""
    command = [str(installed("taskyard-console")), "link"]
    given = {**environment, "TASKYARD_API_KEY": key}
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise ServiceFailed(f"taskyard-console link failed\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout.strip()
