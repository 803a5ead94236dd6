"""`taskyard-console check`: what would keep readers out is said before anybody tries."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from cryptography.fernet import Fernet

from taskyard.settings import Settings
from taskyard_console.checks import Check, check
from taskyard_console.passwords import hashed

from .console_app import OWN_KEY, Api

SECRETS = {"console_secrets": Fernet.generate_key().decode()}


def found(api: Any = None, **settings: Any) -> dict[str, Check]:
    made = Settings.model_validate({"url": "http://api.test", **SECRETS, **settings})
    return {one.name: one for one in check(made, httpx2.MockTransport(api or Api("admin")))}


def test_all_is_well_with_and_without_a_key_of_its_own() -> None:
    assert all(one.ok for one in found().values())
    assert all(one.ok for one in found(console_api_key=OWN_KEY).values())


@pytest.mark.parametrize(
    ("settings", "name", "says"),
    [
        ({"console_sign_in_with_keys": False}, "sign-in", "nobody can sign in"),
        ({"console_users": "anna", "console_api_key": OWN_KEY}, "sign-in", "line 1"),
        ({"console_secrets": ""}, "cookies", "TASKYARD_CONSOLE_SECRETS"),
        ({"app_env": "production", "console_url": "http://console.example"}, "cookies", "https://"),
        ({"console_api_key": "ty_wrong"}, "key", "is refused"),
    ],
)
def test_a_setting_that_keeps_readers_out_is_named(settings: dict[str, Any], name: str, says: str) -> None:
    wrong = found(**settings)[name]
    assert (wrong.ok, says in wrong.says) == (False, True), wrong


def test_a_key_that_may_less_than_a_role_or_sees_some_queues_only_is_named() -> None:
    users = f"anna:manage:{hashed('x')}"
    lacks = found(Api("read"), console_api_key=OWN_KEY, console_users=users)["key"]
    assert (lacks.ok, "manage, submit" in lacks.says) == (False, True), lacks
    bound = found(Api("admin", queues=["mail"]), console_api_key=OWN_KEY)["key"]
    assert (bound.ok, "mail only" in bound.says) == (False, True), bound


def test_an_api_that_does_not_answer_is_away() -> None:
    def silent(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    assert found(silent)["api"].away
