"""Stored parameters of an older version, as an attempt of today's version gets them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from cryptography.fernet import Fernet

from taskyard import Params, Result, Secret
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import TaskType
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed
from taskyard.lifecycle.claim import Claimed
from taskyard.running.attempt import Services, prepare

CIPHER = Cipher([Fernet.generate_key().decode()])
TOKEN = "s3cr3t-t0ken"


class Now(Params):
    recipient: str
    token: Secret[str]


class Nothing(Result):
    pass


class Told:
    """What the attempt writes to the task's log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, *_: object) -> None: ...

    def note(self, task_id: Any, claim: Any, kind: str, data: dict[str, Any]) -> None:
        self.lines.append(data["message"])


def renamed(params: dict[str, Any], version: int) -> dict[str, Any]:
    assert version == 1
    return {"recipient": params["to"], "token": params["key"]}


def prepared(
    upgrade: Callable[[dict[str, Any], int], Any] | None,
    *,
    version: int = 1,
    params: dict[str, Any] | None = None,
    told: Told | None = None,
) -> Any:
    nothing: Any = None
    kind = TaskType(name="tests.task", description="", params=Now, result=Nothing, version=3, upgrade=upgrade)
    stored: dict[str, Any] = {"to": "Ada", "key": CIPHER.seal(TOKEN)} if params is None else params
    work = Claimed(
        id=new_id(), claim=new_id(), name=kind.name, queue="default", params=stored, version=version, attempt=1,
        failures=0, max_attempts=4, soft_timeout_seconds=1, hard_timeout_seconds=2, waited_seconds=0, tags=[],
        request_id=None, traceparent=None, submitted_by=None, allowed_queues=None, workflow_id=None,
    )  # fmt: skip
    found = prepare(work, kind, CIPHER, Services(nothing, nothing, nothing), told or Told())
    assert params is not None or stored["key"].keys() == {"$secret"}, "the stored parameters stay as they are"
    return found


def fault_of(upgrade: Callable[[dict[str, Any], int], Any] | None, **more: Any) -> Any:
    failed = prepared(upgrade, **more)
    assert isinstance(failed, Failed), "it ends at once, whatever attempts are left"
    assert (failed.fault.code, failed.fault.retryable) == ("params_invalid", False)
    assert TOKEN not in repr(failed.fault)
    return failed.fault


def test_an_upgrade_gets_opened_parameters_and_the_version_of_the_row() -> None:
    seen: list[tuple[Any, int]] = []

    def upgrade(params: dict[str, Any], version: int) -> dict[str, Any]:
        seen.append((dict(params), version))
        return renamed(params, version)

    params, context = prepared(upgrade)
    assert seen == [({"to": "Ada", "key": TOKEN}, 1)]
    assert params == Now(recipient="Ada", token=Secret(TOKEN))
    assert context.redact(f"the token {TOKEN}") == "the token ***"


def test_parameters_of_todays_version_are_not_upgraded() -> None:
    def fail(params: dict[str, Any], version: int) -> NoReturn:
        raise AssertionError

    today = {"recipient": "Ada", "token": CIPHER.seal(TOKEN)}
    params, _ = prepared(fail, version=3, params=today)
    assert params.recipient == "Ada"


def test_without_an_upgrade_older_parameters_are_validated_as_they_are() -> None:
    params, _ = prepared(None, params={"recipient": "Ada", "token": CIPHER.seal(TOKEN)})
    assert params.token.reveal() == TOKEN
    assert "recipient" in fault_of(None).message


class Silent(Exception):
    def __str__(self) -> str:
        raise self


@pytest.mark.parametrize("error", [KeyError(TOKEN), SystemExit(TOKEN), ValueError(f"no {TOKEN}"), Silent()], ids=repr)
def test_an_upgrade_that_raises_ends_the_task_once_without_a_word_of_its_secrets(error: BaseException) -> None:
    def upgrade(params: dict[str, Any], version: int) -> NoReturn:
        raise error

    assert f"version 1 failed with {type(error).__name__}" in fault_of(upgrade).message


@pytest.mark.parametrize("returned", [None, [], {"recipient": 1, "token": TOKEN}, {"token": TOKEN, TOKEN: 1}], ids=repr)
def test_an_upgrade_whose_parameters_do_not_fit_ends_the_task_once(returned: Any) -> None:
    fault_of(lambda params, version: returned)


def test_what_an_upgrade_prints_is_in_the_log_of_the_task_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    from taskyard.running.trial import _captured

    def upgrade(params: dict[str, Any], version: int) -> dict[str, Any]:
        print("before:", params)  # noqa: T201 - that is what it is about
        return renamed(params, version)

    told = Told()
    with _captured():
        prepared(upgrade, told=told)
    assert told.lines == ["before: {'to': 'Ada', 'key': '***'}"]
    assert TOKEN not in capsys.readouterr().out
