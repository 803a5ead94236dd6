"""What a reader may type into a filter: the task types and queues that the key sees."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .parts import part

if TYPE_CHECKING:
    from .visits import Visit

# The list of types has their schemas: it is not read for each page.
_KNOWN_SECONDS = 60.0
_MOST_KNOWN = 1024


@dataclass(frozen=True, slots=True)
class Suggested:
    types: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()


class Suggestions:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[float, Suggested]] = {}

    async def of(self, visit: Visit) -> Suggested:
        """None where the API does not tell, and in the parts of a page that are read again: these have no form."""
        if visit.is_fragment:
            return Suggested()
        digest = hashlib.sha256(visit.reader.key.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[0] > self._clock():
            return known[1]
        types, queues = await asyncio.gather(part(visit.api.task_types.items()), part(visit.api.queues.items()))
        if types.value is None or queues.value is None:
            return Suggested()
        found = Suggested(tuple(one.name for one in types.value), tuple(one.name for one in queues.value))
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[digest] = (self._clock() + _KNOWN_SECONDS, found)
        return found
