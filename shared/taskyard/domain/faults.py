"""Fault: one thing that is wrong with a request, told without its values."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Message

MAX_FAULTS = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """One error in a request. `pointer` is a JSON pointer (RFC 6901) into the body, `?name` for a query parameter, or
    the name of a header."""

    pointer: str
    message: Message
    code: str = "invalid_request"
