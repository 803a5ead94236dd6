"""Who follows live events: of one task, of one workflow, or of all tasks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import UUID

MAX_BACKLOG = 1_000


class Follower:
    """Changes between two calls of `changed` wake it once, however many they are."""

    __slots__ = ("_event", "closed")

    def __init__(self) -> None:
        self.closed = False
        self._event = asyncio.Event()

    def close(self) -> None:
        self.closed = True
        self._event.set()

    async def changed(self, timeout_seconds: float) -> bool:
        """Waits for a change since the last call; False where none came in time."""
        if not self._event.is_set():
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._event.wait()
            except TimeoutError:
                return False
        self._event.clear()
        return True


class Watch(Follower):
    """A follower of one task, or of one workflow."""

    __slots__ = ("is_final", "standing", "task_id")

    def __init__(self, task_id: UUID) -> None:
        super().__init__()
        self.task_id = task_id
        self.is_final = False
        self.standing: tuple[Any, ...] | None = None

    def tell(self, *, final: bool) -> None:
        self.is_final = final
        self._event.set()


class Feed(Follower):
    """A follower of all tasks. A slow reader loses the oldest changes and learns how many. Those that happen while
    Redis is away are lost, too; `interrupt` says that there may be some."""

    __slots__ = ("_lost", "_wanted", "_was_interrupted", "changes")

    def __init__(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        super().__init__()
        self._wanted = wanted
        self._lost = 0
        self._was_interrupted = False
        self.changes: deque[dict[str, Any]] = deque()

    def tell(self, change: dict[str, Any]) -> None:
        if not self._wanted(change):
            return
        if len(self.changes) >= MAX_BACKLOG:
            self.changes.popleft()
            self._lost += 1
        self.changes.append(change)
        self._event.set()

    def interrupt(self) -> None:
        self._was_interrupted = True
        self._event.set()

    def missed(self) -> dict[str, int | None] | None:
        """What was left out since the last call, `lost`, which is None where nobody could count; None: nothing."""
        if not self._lost and not self._was_interrupted:
            return None
        lost = None if self._was_interrupted else self._lost
        self._lost, self._was_interrupted = 0, False
        return {"lost": lost}
