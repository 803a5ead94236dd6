"""Room: the memory that bodies in flight may need together, taken before it is needed."""

from __future__ import annotations

import asyncio
import ctypes
from collections import defaultdict
from contextlib import suppress
from uuid import UUID

from taskyard.domain.errors import Overloaded
from taskyard.domain.messages import message

PATIENCE_SECONDS = 5.0
# Those who wait have the beginnings of their bodies in memory, too.
MAX_WAITING = 64

# glibc's number for the size from which a piece of memory is mapped by itself, and unmapped when it is freed.
_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1024 * 1024


def give_large_memory_back() -> None:
    """Has the process return the memory of each large body as soon as it is freed. By default glibc raises the size
    from which it does so with each piece that is freed, up to 32 MiB, and keeps some 60 MiB after a few large bodies.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


class Place:
    """So many bytes of a room, until it is left."""

    __slots__ = ("caller", "room", "size")

    def __init__(self, room: Room, caller: UUID, size: int) -> None:
        self.room = room
        self.caller = caller.int  # whose hash is C's, and not Python's
        self.size = size

    def leave(self) -> None:
        self.room.leave(self)


class Room:
    """`size` bytes. One caller has at most half of them, or a single larger place; so another caller's request finds
    room beside it. Who finds none waits: first come first served, and nobody waits behind a caller that has its share.
    """

    def __init__(
        self, size: int, *, patience_seconds: float = PATIENCE_SECONDS, max_waiting: int = MAX_WAITING
    ) -> None:
        self._size = size
        self._patience_seconds = patience_seconds
        self._max_waiting = max_waiting
        self._taken = 0
        self._by_caller: defaultdict[int, int] = defaultdict(int)
        self._waiting: dict[Place, asyncio.Future[None]] = {}

    def take_at_once(self, caller: UUID, size: int) -> Place | None:
        """A place as `take` gives it, or None where it would have to be waited for."""
        place = Place(self, caller, min(size, self._size))
        if self._has_place(place) and not (self._waiting and any(map(self._is_due, self._waiting))):
            self._enter(place)
            return place
        return None

    async def take(self, caller: UUID, size: int) -> Place:
        """A place of `size` bytes, or of the whole room where that is less. Raises Overloaded where too many wait
        already, and after five seconds."""
        entered_at_once = self.take_at_once(caller, size)
        if entered_at_once is not None:
            return entered_at_once
        place = Place(self, caller, min(size, self._size))
        mine = sum(other.caller == place.caller for other in self._waiting)
        if len(self._waiting) >= self._max_waiting or mine >= self._max_waiting // 2:
            raise Overloaded(message("Too many large requests are under way."))
        entered = self._waiting[place] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._patience_seconds):
                await entered
        except BaseException as e:
            if self._waiting.pop(place, None) is None:  # it was let in at the same moment
                self.leave(place)
            else:
                self._let_in()
            if isinstance(e, TimeoutError):
                raise Overloaded(message("Too many large requests are under way.")) from None
            raise
        return place

    def leave(self, place: Place) -> None:
        self._taken -= place.size
        left = self._by_caller[place.caller] - place.size
        if left:
            self._by_caller[place.caller] = left
        else:
            del self._by_caller[place.caller]
        if self._waiting:
            self._let_in()

    def _enter(self, place: Place) -> None:
        self._taken += place.size
        self._by_caller[place.caller] += place.size

    def _let_in(self) -> None:
        for place, entered in list(self._waiting.items()):
            if entered.done():  # its caller has just given up
                continue
            if self._has_place(place):
                del self._waiting[place]
                self._enter(place)
                entered.set_result(None)
            elif self._is_due(place):
                return

    def _has_place(self, place: Place) -> bool:
        return self._taken + place.size <= self._size and self._is_due(place)

    def _is_due(self, place: Place) -> bool:
        """Whether it may enter as far as its caller's share is concerned."""
        taken = self._by_caller.get(place.caller, 0)
        return not taken or taken + place.size <= self._size // 2
