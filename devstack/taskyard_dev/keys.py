"""The development key: made with the API's command, kept in dev.env."""

import json
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

import httpx

from taskyard.domain.api_keys import make_key, prefix_of
from taskyard_dev.errors import ServiceFailed
from taskyard_dev.service import installed

# An API caches for a moment that a key is unknown.
ACCEPTED_WITHIN = timedelta(seconds=10)


def ensure(known: str, url: str, environment: Mapping[str, str]) -> str:
    """An admin key that the API at `url` accepts: the one of the previous run, or a new one.

    `keys bootstrap` makes the first key of a database from a given one. A database that has keys, but has lost its
    dev.env, gets another one.
    """
    is_key = prefix_of(known) is not None
    if is_key and _accepted(known, url):
        return known
    key = known if is_key else make_key().text
    _keys(["bootstrap"], {**environment, "TASKYARD_BOOTSTRAP_KEY": key})
    if not _accepted(key, url):
        name = f"development-{prefix_of(key)}"
        made = json.loads(_keys(["create", "--name", name, "--scope", "admin", "--json"], environment))
        key = str(made["key"])
    deadline = time.monotonic() + ACCEPTED_WITHIN.total_seconds()
    while not _accepted(key, url):
        if time.monotonic() > deadline:
            raise ServiceFailed("the API doesn't accept the key that its own command made")
        time.sleep(0.2)
    return key


def ensure_scoped(known: str, name: str, scopes: Sequence[str], url: str, environment: Mapping[str, str]) -> str:
    """A key with these scopes that the API at `url` accepts: the one of the previous run, or a new one."""
    if prefix_of(known) is not None and _accepted(known, url):
        return known
    chosen = [part for scope in scopes for part in ("--scope", scope)]
    # Keys of earlier runs keep their names.
    made = json.loads(_keys(["create", "--name", f"{name}-{secrets.token_hex(4)}", *chosen, "--json"], environment))
    return str(made["key"])


def _accepted(key: str, url: str) -> bool:
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.get(f"{url}/api/v1/task-types", headers=headers, timeout=10, trust_env=False)
    if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return False
    if answer.is_error:
        raise ServiceFailed(f"the API answers {answer.status_code} to its own catalogue\n{answer.text[:500]}")
    return True


def _keys(arguments: list[str], environment: Mapping[str, str]) -> str:
    command = [str(installed("taskyard-api")), "keys", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise ServiceFailed(f"taskyard-api keys {arguments[0]} failed\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout
