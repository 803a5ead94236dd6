"""Whatever of a task's parameters is secret, by its schema or for its model only, is struck out of what it says."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, SecretBytes, SecretStr, field_validator

from taskyard import Params, Secret, TaskContext, TaskError, task
from taskyard.domain.tasks import Failed, RetryIn, Succeeded
from taskyard.running.trial import TaskRun, run_task

WORDS = [f"s3cr3t-{n}" for n in range(11)]
# Plain by its schema: the model alone makes a secret of it.
Hidden = Annotated[str, AfterValidator(SecretStr)]


class Login(BaseModel):
    user: str
    token: Secret[str] | int | None = None
    hidden: Hidden = ""


@dataclass
class Account:
    password: SecretStr


class Wide(Params):
    either: Secret[str] | list[int]
    logins: list[Login]
    by_name: Mapping[str, Login]
    pairs: tuple[tuple[int, Hidden], ...] = ()
    accounts: frozenset[Hidden] = frozenset()
    account: Account
    raw: SecretBytes
    whole: Secret[Login]
    born: Secret[date]
    way: str


GIVEN: dict[str, Any] = {
    "either": WORDS[0],
    "logins": [{"user": "a", "token": WORDS[1], "hidden": WORDS[2]}],
    "by_name": {"b": {"user": "b", "token": WORDS[3]}},
    "pairs": [[1, WORDS[4]]],
    "accounts": [WORDS[5]],
    "account": {"password": WORDS[6]},
    "raw": WORDS[7],
    "whole": {"user": WORDS[8], "hidden": WORDS[9]},
    "born": "1984-06-07",
}


@task("test.wide")
def wide(params: Wide, context: TaskContext) -> None:
    said = f"{' '.join(WORDS[:10])} 1984-06-07"
    match params.way:
        case "error":
            raise ValueError(said)
        case "values":
            raise TaskError("own", said=said, retryable=False)
        case "group":
            raise ExceptionGroup(said, [KeyError(said)])
    context.progress(1, 2, said)
    context.log(said)
    print(said)  # noqa: T201
    logging.getLogger("a.library").warning("%s", said)
    logging.getLogger("a.library").warning("%r", {"said": said})


def shown(run: TaskRun) -> str:
    return repr((run.outcome, run.logs, run.stages, run.progress))


@pytest.mark.parametrize("way", ["log", "error", "values", "group"])
def test_every_secret_is_struck_out_of_lines_progress_and_errors(way: str) -> None:
    told = shown(run_task(wide, {**GIVEN, "way": way}))
    assert "s3cr3t" not in told
    assert "1984-06-07" not in told
    assert "***" in told


class Checked(Params):
    token: Secret[str]

    @field_validator("token")
    @classmethod
    def _check(cls, token: Secret[str]) -> Secret[str]:
        print(f"checking {token.reveal()}")  # noqa: T201
        raise {"ValueError": ValueError, "RuntimeError": RuntimeError, "SystemExit": SystemExit}[NEXT[0]](
            f"bad token {token.reveal()}"
        )


NEXT = ["ValueError"]


@task("test.checked")
def checked(params: Checked) -> None: ...


@pytest.mark.parametrize("error", ["ValueError", "RuntimeError", "SystemExit"])
def test_what_a_models_own_check_says_of_a_secret_is_struck_out_and_another_attempt_is_spared(
    error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.NEXT", [error])
    run = run_task(checked, {"token": WORDS[0]})
    assert isinstance(run.outcome, Failed)
    assert run.outcome.fault.code == "params_invalid"
    assert "bad token ***" in run.outcome.fault.message
    assert run.logs == ["checking ***"]
    assert "s3cr3t" not in shown(run)


class Answer(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def _check(cls, text: str) -> str:
        raise ValueError(f"no {text}")


@task("test.answering")
def answering(token: Secret[str]) -> Answer:
    return {"text": token.reveal()}  # type: ignore[return-value]


def test_what_a_results_own_check_says_of_a_secret_is_struck_out() -> None:
    run = run_task(answering, {"token": WORDS[0]})
    assert isinstance(run.outcome, Failed | RetryIn)
    assert run.outcome.fault.code == "result_invalid"
    assert "no ***" in run.outcome.fault.message
    assert "s3cr3t" not in shown(run)


class KitSettings(BaseModel):
    password: SecretStr = SecretStr(WORDS[3])
    accounts: Mapping[str, Secret[str]] = {"a": Secret(WORDS[4])}


@task("test.of_a_kit")
def of_a_kit(fails: bool, *, context: TaskContext) -> str:
    settings: KitSettings = context.settings
    said = f"{settings.password.get_secret_value()} and {settings.accounts['a'].reveal()}"
    context.progress(1, 2, said)
    context.log(said, level=said)
    print(said)  # noqa: T201
    if fails:
        raise type(said.replace(" ", "_").replace("-", "_"), (TaskError,), {})(said, said, said=said)
    return said


@pytest.mark.parametrize("fails", [True, False])
def test_secrets_of_a_kit_s_settings_are_struck_out(fails: bool) -> None:
    run = run_task(of_a_kit, {"fails": fails}, settings=KitSettings())
    assert isinstance(run.outcome, RetryIn if fails else Succeeded)
    assert "*** and ***" in shown(run)
    assert "s3cr3t-" not in shown(run)
