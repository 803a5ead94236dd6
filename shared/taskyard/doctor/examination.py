"""The steps in their order. Each finding comes when it is known; what cannot be looked at is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from ..settings import Settings
from . import console, echo, network, queues, service
from .api import Answer, Api, Away, Refused
from .echo import Echo, Patience
from .findings import UNREADABLE, Finding, Verdict, refused, unreadable
from .live import LiveEvents
from .queues import Fleet
from .service import Key

_READ_SECONDS = 10.0
_SLOW_QUEUE_SECONDS = 60.0
# Echoes at the same time: a queue that is stuck delays no other one.
_SIDE_BY_SIDE = 8


@dataclass(frozen=True, slots=True)
class Examination:
    """`queues`: those to send an echo through; none: each that a worker serves. `servers`: where PostgreSQL and Redis
    are to be asked directly. `console`: the address of one that is to be looked at."""

    url: str
    api_key: str | None
    queues: Sequence[str] = ()
    patience: Patience = field(default_factory=Patience)
    servers: Settings | None = None
    console: str | None = None

    def findings(self) -> Iterator[Finding]:
        """Raises ValueError, at once, for what is no address or no key."""
        return self._with(Api(self.url, self.api_key, seconds=_READ_SECONDS))

    def _with(self, api: Api) -> Iterator[Finding]:
        with closing(api):
            way = list(network.check(self.url))
            yield from way
            if not any(finding.away for finding in way):
                try:
                    yield from self._of_api(api)
                except Away as e:
                    yield Finding("api", Verdict.FAIL, str(e), runbook="TaskyardApiDown", away=True)
                except Refused as e:
                    yield refused("api", e.answer)
                except UNREADABLE as e:
                    yield unreadable("api", e)
        if self.console is not None:
            yield from console.check(self.console, self.api_key, slow_after=self.patience.slow_answer)
        if self.servers is not None:
            from . import servers

            yield from servers.check(self.servers, slow_after=self.patience.slow_answer)

    def _of_api(self, api: Api) -> Iterator[Finding]:
        slow_after = self.patience.slow_answer
        yield service.live(api, slow_after=slow_after)
        ready = api.get("/health/ready")
        yield service.ready(ready)
        yield service.clock(ready)
        if self.api_key is None:
            yield Finding("key", Verdict.FAIL, "none is given", do="Set TASKYARD_API_KEY, or give --api-key.")
            return
        key, finding = service.key(api)
        yield finding
        if key.read:
            yield from service.parts(api.get("/health/detailed"), slow_after=slow_after)
        elif finding.verdict is not Verdict.FAIL:
            for step in ("parts", "queues"):
                yield Finding(step, Verdict.SKIP, "the key lacks the scope `read`")
        if not ready.is_fine or finding.verdict is Verdict.FAIL:
            return  # no submit would be accepted
        yield from self._of_queues(api, key, ready)

    def _of_queues(self, api: Api, key: Key, ready: Answer) -> Iterator[Finding]:
        try:
            fleet = queues.look(api) if key.read else Fleet(queues.now_by(ready))
        except Refused as e:  # without the workers, one that is busy could not be told from none
            yield refused("queues", e.answer)
            return
        if key.read:
            yield from queues.findings(fleet, self.queues, slow_after=_SLOW_QUEUE_SECONDS)
        wanted = self.queues or fleet.served() or ([] if key.read else ["default"])
        if not wanted:
            do = "Start a worker: `taskyard-worker run`."
            yield Finding("workers", Verdict.FAIL, "none is alive", do=do, runbook="TaskyardWorkersDown")
        elif not key.submit:
            yield Finding("echo", Verdict.SKIP, "none is sent: the key lacks the scope `submit`")
        else:
            yield from self._echoes(api, key, fleet, wanted)

    def _echoes(self, api: Api, key: Key, fleet: Fleet, wanted: Sequence[str]) -> Iterator[Finding]:
        live = LiveEvents(api, echo.TYPE)
        if key.read:
            live.start()
        sent: list[Echo] = []
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            send = partial(echo.send, api, key=key, patience=self.patience, fleet=fleet)
            for one in pool.map(send, dict.fromkeys(wanted)):
                sent.append(one)
                yield one.finding
        if key.read:
            back = {one.task_id for one in sent if one.is_back and one.task_id is not None}
            yield live.finding(back, slow_after=self.patience.slow_answer)
