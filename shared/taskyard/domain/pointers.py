"""JSON pointers (RFC 6901): where in a value something stands."""

from __future__ import annotations

from collections.abc import Iterable


def pointer(place: Iterable[object]) -> str:
    """The pointer to a place, which is names and indexes from the outside to the inside; "" is the whole value."""
    return "".join(f"/{escaped(part)}" for part in place)


def escaped(part: object) -> str:
    """One part of a pointer."""
    return str(part).replace("~", "~0").replace("/", "~1")
