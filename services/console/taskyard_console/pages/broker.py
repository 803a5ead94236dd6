"""The broker: what Redis holds, how full it is, and what that means."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import falcon.asgi

from taskyard_client import Broker, Queue

from .. import attention
from ..page import Page
from ..parts import part
from ..rendering import Rendering
from ..visits import Visit


@dataclass(frozen=True)
class BrokerPage(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        broker, queues = await asyncio.gather(visit.api.broker(), part(visit.api.queues.items()))
        self.rendering.show(
            resp,
            visit,
            "broker.html",
            broker=broker,
            share=attention.memory_share(broker),
            is_full=attention.is_full(broker),
            queues=queues,
            rows=_rows(broker, queues.value or ()),
            now=datetime.now(UTC),
        )


def _rows(broker: Broker, queues: Sequence[Queue]) -> list[Mapping[str, Any]]:
    """Of each queue what Redis holds (None: not known) and what the ledger does."""
    held = {one.name: one for one in broker.queues}
    ledger = {one.name: one for one in queues}
    return [
        {"name": name, "held": held.get(name), "depth": ledger[name].depth if name in ledger else {}}
        for name in sorted({*held, *ledger})
    ]
