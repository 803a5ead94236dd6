"""The models of the answers about task types, beside answers.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from .answers import Page, Shown


class RetryRules(Shown):
    max_attempts: int
    first_delay_seconds: float
    max_delay_seconds: float
    factor: float
    jitter: bool


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
