"""What each handler declares: the scope that it needs, its input, its answers.

gate.py enforces the declarations and openapi.py publishes them, so the two always agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from .auth import Scope

# Calls of these scopes may be recorded in the audit log, with the caller's address, and the person whom it acts for.
AUDITED = frozenset({Scope.MANAGE, Scope.ADMIN})
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
ANYTHING = "application/octet-stream"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A successful answer: its model (None: no body, or bytes), and its media type where that is not JSON.

    `also`: another media type. `events`: what each event of a stream says.

    `without_read`: the model for keys without the scope `read`, where the call needs another one.
    """

    description: str
    model: type[BaseModel] | None = None
    without_read: type[BaseModel] | None = None
    media_type: str = JSON
    also: str | None = None
    events: str = ""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The decorator of a handler. `refusals` are the statuses of this call alone; those of every call (401, 403, 406,
    ...) are added. `keyed`: it takes an Idempotency-Key. `any_key`: a key of any scope will do; without `scope` and
    `any_key` it needs no key."""

    summary: str
    scope: Scope | None
    answers: dict[int, Answer]
    body: type[BaseModel] | None = None
    is_body_optional: bool = False
    files: bool = False
    query: type[BaseModel] | None = None
    headers: dict[str, str] | None = None
    refusals: tuple[int, ...] = ()
    description: str = ""
    keyed: bool = False
    any_key: bool = False

    @property
    def needs_key(self) -> bool:
        return self.any_key or self.scope is not None

    def __call__(self, handler: F) -> F:
        handler.operation = self  # type: ignore[attr-defined]
        return handler

    @property
    def problems(self) -> frozenset[int]:
        """The statuses of its refusals: its own, and those of every call of its kind."""
        found = {*self.refusals, 400, 406, 422, 500, 503}
        if self.needs_key:
            found |= {401, 429}
        if self.scope is not None:
            found.add(403)
        if self.body is not None or self.files or self.keyed:
            found.add(413)
        if self.body is not None or self.files:
            found.add(415)
        if self.keyed:
            found.add(409)
        return frozenset(found)

    @property
    def statuses(self) -> frozenset[int]:
        return self.problems | self.answers.keys()

    @property
    def media_types(self) -> frozenset[str]:
        """The media types of its answers, besides problem documents."""
        return frozenset(form for a in self.answers.values() for form in (a.media_type, a.also) if form)


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def operations_of(kind: type) -> dict[str, Operation]:
    """The declared operations of a kind of resource, by HTTP method."""
    handlers = {method: getattr(kind, f"on_{method.lower()}", None) for method in METHODS}
    found = {method: getattr(handler, "operation", None) for method, handler in handlers.items()}
    return {method: declared for method, declared in found.items() if declared is not None}
