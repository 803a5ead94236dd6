"""A page of several calls: what one of them is refused stands in its place, and the rest of the page stands."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Generic, TypeVar

from taskyard_client.errors import ApiAway, ApiRefused

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """What a call answered, or why it did not (`said`, in the API's words)."""

    value: T | None = None
    said: str = ""
    code: str = ""
    request_id: str = ""


async def part(call: Awaitable[T]) -> Part[T]:
    """Raises ApiRefused for a key that is not valid any more: no other part would answer either."""
    try:
        return Part(await call)
    except ApiRefused as e:
        if e.status == 401:
            raise
        return Part(said=str(e.args[0]), code=e.code, request_id=e.request_id or "")
    except ApiAway as e:
        return Part(said=str(e))
