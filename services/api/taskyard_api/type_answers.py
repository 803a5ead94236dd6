"""The models of the answers about task types, beside answers.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from .answers import Page, Shown


class RetryRule(Shown):
    """What becomes of errors of one kind; the first rule that holds for an error counts."""

    kind: str
    errors: list[str] = Field(description="Names of classes.")
    codes: list[str] = Field(description="Error codes.")
    retried: bool = Field(description="Else the first such error is final.")
    first_delay_seconds: float | None = Field(
        description="After the first such error, instead of the policy's; growing and bounded as that does. A time that"
        " the other system names wins."
    )


class RetryRules(Shown):
    max_attempts: int
    first_delay_seconds: float
    max_delay_seconds: float
    factor: float
    jitter: bool
    retry_on: list[str] = Field(
        description="Names of classes: the errors that are tried again, time limits among them. Empty: not known."
    )
    give_up_on: list[str] = Field(description="Names of classes: errors that are final, whatever else is said of them.")
    rules: list[RetryRule]


class ErrorShown(Shown):
    words: dict[str, str] = Field(
        description="What people are told, by language. {name} stands for a value of the failure."
    )


class TypeWorker(Shown):
    worker: str = Field(description="The name of a live worker that runs this version.")
    queues: list[str]
    since: datetime


class TypeVersion(Shown):
    version: int
    admits: bool = Field(description="Whether new tasks get this version: the newest one that a live worker runs.")
    registered_at: datetime
    changed_at: datetime | None = Field(description="When it was last registered with other content.")
    workers: list[TypeWorker]


class TaskTypeShown(Shown):
    """The type as its version that admits new tasks has it, and all versions."""

    name: str
    kit: str
    queue: str
    description: str
    version: int
    params: dict[str, Any]
    result: dict[str, Any]
    retry: RetryRules
    soft_timeout_seconds: float
    hard_timeout_seconds: float
    errors: dict[str, ErrorShown] = Field(description="The type's own error codes, with their words.")
    versions: list[TypeVersion]


class TaskTypePage(Page[TaskTypeShown]):
    pass
