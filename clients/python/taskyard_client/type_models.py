"""What the API tells of task types."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from .models import Answer


class TypeWorker(Answer):
    """A live worker that runs a version of a type."""

    worker: str
    queues: list[str] = Field(default_factory=list)
    since: datetime | None = None


class TypeVersion(Answer):
    """`admits`: new tasks get this version."""

    version: int
    admits: bool = False
    registered_at: datetime | None = None
    changed_at: datetime | None = None
    workers: list[TypeWorker] = Field(default_factory=list)


class RetryRule(Answer):
    """What becomes of errors of a kind; the first rule that holds counts."""

    kind: str
    errors: list[str] = Field(default_factory=list)
    codes: list[str] = Field(default_factory=list)
    retried: bool = False
    first_delay_seconds: float | None = None


class RetryRules(Answer):
    max_attempts: int = 1
    first_delay_seconds: float = 0
    max_delay_seconds: float = 0
    factor: float = 1
    jitter: bool = False
    retry_on: list[str] = Field(default_factory=list)
    give_up_on: list[str] = Field(default_factory=list)
    rules: list[RetryRule] = Field(default_factory=list)


class ErrorWords(Answer):
    """What people are told of an error, by language."""

    words: dict[str, str] = Field(default_factory=dict)


class TaskType(Answer):
    """A task type; the properties of `params`, a JSON Schema, come in the order of the declaration."""

    name: str
    queue: str
    version: int = 1
    kit: str = ""
    description: str = ""
    params: dict[str, Any]
    result: dict[str, Any] = Field(default_factory=dict)
    retry: RetryRules = RetryRules()
    soft_timeout_seconds: float | None = None
    hard_timeout_seconds: float | None = None
    errors: dict[str, ErrorWords] = Field(default_factory=dict)
    versions: list[TypeVersion] = Field(default_factory=list)
