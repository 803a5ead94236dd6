"""What open pages listen to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass

import falcon.asgi
from falcon.asgi import SSEvent

from taskyard.domain.tasks import FINAL, TRANSITIONS
from taskyard_client.models import Change

from ..access import Access
from ..live import Live, TooManyPages, Wanted
from ..page import Page
from ..visits import Visit

# What a page may ask for, as `GET /live?task_id=...`, beside `state`; one that asks for nothing is told of everything.
FILTERS = ("task_id", "workflow_id", "queue", "name")


@dataclass(frozen=True)
class LivePage(Page):
    live: Live

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        # Proxies must not buffer events.
        resp.set_header("X-Accel-Buffering", "no")
        asked = {name: value for name in FILTERS if (value := req.get_param(name))}
        states = req.get_param_as_list("state", default=[])
        resp.sse = self._events(visit.reader.key, wanted(visit.reader, asked, states))

    async def _events(self, key: str, wanted: Wanted) -> AsyncIterator[SSEvent | None]:
        try:
            with self.live.watch(key, wanted) as watch:
                async for signal in watch.signals():
                    yield None if signal is None else _told(signal.value)
        except TooManyPages:
            yield _told("full")


def _told(event: str) -> SSEvent:
    return SSEvent(event=event, data=b"-")  # browsers drop an event without data


def wanted(reader: Access, asked: Mapping[str, str], states: Collection[str]) -> Wanted:
    """`states`: those of the tasks that the page lists (none: all). It is told which tasks come to these, and which
    leave them."""
    left = {str(to) for (state, _), to in TRANSITIONS.items() if state in states}
    # A change tells what a task is, not what it was. What has ended and runs again has mostly run before; without this,
    # a list of failed tasks would be told of every submit.
    are_final = FINAL.issuperset(states)

    def is_wanted(change: Change) -> bool:
        if not reader.sees(change.queue):
            return False
        leaves = change.state in left and (change.attempt > 0 or not are_final)
        if states and change.state not in states and not leaves:
            return False
        return all(str(getattr(change, name)) == value for name, value in asked.items())

    return is_wanted
