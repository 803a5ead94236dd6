"""One HTTP request to Google, which a cancellation or a time limit breaks off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from taskyard import TaskContext, TaskError
from taskyard.outbound import client
from taskyard.outbound.client import Answer, Bounds, Unanswered
from taskyard.outbound.networks import Networks
from taskyard.outbound.urls import read_url

# The addresses are the operator's, from the settings. A caller chooses what stands behind the host only.
_ANY = Networks.parse(("0.0.0.0/0", "::/0"))
_LOOK_SECONDS = 0.2
# Google gives up after 180 s. The token goes where it belongs, and nowhere by a redirect.
_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Transport:
    context: TaskContext

    def send(self, method: str, url: str, headers: Mapping[str, str], content: bytes, most_bytes: int) -> Answer:
        """The answer, whatever its status. Raises TaskError `gsheet_unavailable`, TaskCancelled, TimeLimitExceeded."""
        bounds = Bounds(read_seconds=_SECONDS, total_seconds=_SECONDS, most_bytes=most_bytes, redirects=0)
        request = client.request(method, read_url(url), networks=_ANY, headers=headers, content=content, bounds=bounds)
        try:
            # An interrupt is raised by the check, and not within the event loop.
            with self.context.shield:
                return asyncio.run(_watched(request, self.context.check_cancelled))
        except Unanswered as e:
            raise unavailable({"phrase": f"gsheet_{e.reason}"}) from None


def unavailable(reason: Any) -> TaskError:
    return TaskError("gsheet_unavailable", reason=reason)


def read_json(answer: Answer) -> dict[str, Any] | None:
    """The object in the body, None where there is none."""
    try:
        found = orjson.loads(answer.body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


async def _watched(request: Any, check: Callable[[], None]) -> Answer:
    task: asyncio.Task[Answer] = asyncio.ensure_future(request)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_SECONDS))[0]:
            check()
        return task.result()
    finally:
        task.cancel()
