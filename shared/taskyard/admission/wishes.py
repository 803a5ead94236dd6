"""Wish: a task that somebody wants; Caller: who wants it. The API's request body is a wish as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel

_MAX_TOLD = 20


class UniqueWish(Protocol):
    """At most one task of the type has `key`, while it is `waiting` or `active`."""

    @property
    def key(self) -> str: ...
    @property
    def hold(self) -> str: ...


class LimitsWish(Protocol):
    """As `domain.new_tasks.Limits`."""

    @property
    def key(self) -> str: ...
    @property
    def concurrent(self) -> int | None: ...
    @property
    def per_second(self) -> float | None: ...


class Wish(Protocol):
    """What is not given is None: the type's own value then counts. Times are aware; `run_at` or `delay_seconds`."""

    @property
    def name(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any] | BaseModel: ...
    @property
    def queue(self) -> str | None: ...
    @property
    def delay_seconds(self) -> float | None: ...
    @property
    def run_at(self) -> datetime | None: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def max_attempts(self) -> int | None: ...
    @property
    def soft_timeout_seconds(self) -> float | None: ...
    @property
    def hard_timeout_seconds(self) -> float | None: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def unique(self) -> UniqueWish | None: ...
    @property
    def limits(self) -> LimitsWish | None: ...
    @property
    def on_cancel(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainWish:
    """A wish of the platform itself: a child of a task, a schedule, a workflow step, a replay."""

    name: str
    params: Mapping[str, Any] | BaseModel = field(default_factory=dict)
    queue: str | None = None
    delay_seconds: float | None = None
    run_at: datetime | None = None
    expires_at: datetime | None = None
    max_attempts: int | None = None
    soft_timeout_seconds: float | None = None
    hard_timeout_seconds: float | None = None
    tags: Sequence[str] = ()
    unique: UniqueWish | None = None
    limits: LimitsWish | None = None
    on_cancel: str = "cancel_children"


class Caller(Protocol):
    """`name` stands on the task as `submitted_by`. `queues` None: all of them."""

    @property
    def name(self) -> str | None: ...
    @property
    def queues(self) -> Collection[str] | None: ...


@dataclass(frozen=True, slots=True)
class PlainCaller:
    name: str | None = None
    queues: Collection[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What of the queues is known when a wish is admitted.

    `known`: the queues that exist; None where that was looked up before. `by_type`: those on which live workers run the
    type (`TypeRegistry.queues_serving`); where there are none, no queue is refused for that.
    """

    known: Collection[str] | None = None
    by_type: Collection[str] = ()

    def told_to(self, allowed: Collection[str] | None) -> list[str]:
        """Those of `by_type` that a caller is told of: of its own queues (None: of all), twenty at most."""
        return sorted(queue for queue in self.by_type if allowed is None or queue in allowed)[:_MAX_TOLD]
