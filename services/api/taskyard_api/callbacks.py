"""Which endpoint signs what is told to a `callback_url`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Protocol
from uuid import UUID

from taskyard.domain.callbacks import Callback
from taskyard.domain.faults import MAX_FAULTS
from taskyard.domain.messages import message, message_of
from taskyard.outbound.networks import Networks
from taskyard.outbound.urls import Url, read_url
from taskyard.store import webhook_endpoints

from .auth import Caller, Scope
from .ledger_pool import LedgerPool
from .refusals import Fault, Invalid

_NOT_REGISTERED = message("Must lie under one of your webhook endpoints: POST /api/v1/webhook-endpoints registers one.")
_NOT_PUBLIC = message("This address is not public, and this installation does not allow it.")


class Wanted(Protocol):
    """A task or a workflow that may have a callback."""

    @property
    def callback_url(self) -> str | None: ...
    @property
    def callback_on(self) -> Sequence[str] | None: ...


class Callbacks:
    """`default_endpoint` signs for addresses that lie under no endpoint; None: these are refused. `support_url` is
    told with each error."""

    def __init__(
        self, ledger: LedgerPool, networks: Networks, default_endpoint: UUID | None, support_url: str | None
    ) -> None:
        self._ledger = ledger
        self._networks = networks
        self._default_endpoint = default_endpoint
        self._support_url = support_url

    def checked(self, text: str) -> Url:
        """The address. Raises ValueError with what is wrong. Names of hosts are looked up by the delivery only: what
        they mean may change until then."""
        url = read_url(text)
        if url.address is not None and not self._networks.admit(url.address):
            raise ValueError(_NOT_PUBLIC)
        return url

    async def of(self, wanted: Sequence[Wanted], caller: Caller, *, in_batch: bool) -> Sequence[Callback | None]:
        """What is told of each of the tasks. Raises Invalid."""
        faults: list[Fault] = []
        asked: dict[int, Url] = {}
        for n, item in enumerate(wanted):
            try:
                if item.callback_url is not None:
                    asked[n] = self.checked(item.callback_url)
                elif item.callback_on is not None:
                    faults.append(Fault(_pointer(n, "callback_on", in_batch), message("Needs a callback_url.")))
            except ValueError as e:
                faults.append(Fault(_pointer(n, "callback_url", in_batch), message_of(e)))
        bases = await self._bases(asked.values(), caller) if asked else []
        found: list[Callback | None] = [None] * len(wanted)
        for n, url in asked.items():
            # The longest, where one endpoint lies under another.
            under = max((b for b in bases if url.lies_under(b[1])), key=lambda b: len(b[1].path), default=None)
            endpoint_id = self._default_endpoint if under is None else under[0]
            if endpoint_id is None:
                faults.append(Fault(_pointer(n, "callback_url", in_batch), _NOT_REGISTERED, "callback_not_registered"))
                continue
            on = tuple(dict.fromkeys(wanted[n].callback_on or ("final",)))
            found[n] = Callback(
                url=str(url),
                endpoint_id=endpoint_id,
                on=on,
                told=caller.has(Scope.READ),
                support_url=self._support_url,
            )
        if faults:
            raise Invalid(faults[:MAX_FAULTS])
        return found

    async def _bases(self, urls: Iterable[Url], caller: Caller) -> list[tuple[UUID, Url]]:
        origins = {url.origin for url in urls}
        read = partial(webhook_endpoints.of_origins, origins=origins, owner=caller.owner_seen)
        return [(endpoint_id, read_url(text)) for endpoint_id, text in await self._ledger.run(read)]


def _pointer(n: int, name: str, in_batch: bool) -> str:
    return f"/tasks/{n}/{name}" if in_batch else f"/{name}"
