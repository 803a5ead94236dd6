"""Usage: events that callers tell, their sums and those of requests, and the models that providers offer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import falcon.asgi
import redis
import redis.asyncio
from sqlalchemy import Connection

from taskyard.broker.names import Names
from taskyard.domain.errors import CacheUnavailable
from taskyard.domain.faults import MAX_FAULTS
from taskyard.domain.ids import new_id
from taskyard.domain.messages import message
from taskyard.domain.model_lists import PROVIDERS, ModelList
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import StoredAnswer
from taskyard.store import analytics
from taskyard.store.analytics import OTHER, SUMS_KEPT_DAYS, TAKEN_DAYS, Period, UsageEvent, whole_hours

from .. import analytics_models, views
from ..analytics_models import AnalyticsQuery, UsageEventsBody
from ..auth import Scope
from ..bodies import Bodies, validated
from ..idempotency import answered_before, key_of, once_with_the_change
from ..ledger_pool import LedgerPool, Share
from ..operations import Answer, Operation
from ..parameters import query_of
from ..refusals import Fault, Invalid
from ..requests import Request
from ..translation import LANGUAGE, Translations, Words

Clock = Callable[[], datetime]

# Clocks differ.
_AHEAD = timedelta(minutes=5)
_A_DAY = timedelta(days=1)
# Each may take as long as PostgreSQL lets a statement run.
MAX_WAITING = 16
# Each waits while an hour is summed up, as long as `store/analytics.py` says.
MAX_WRITES_WAITING = 256
_REDIS_SECONDS = 2.0
_LONGEST = {"hour": timedelta(days=7), "day": timedelta(days=366), "total": timedelta(days=SUMS_KEPT_DAYS)}
_RESERVED = message("Answers call the rest of the models so; choose another name.")
_NONE_CACHED = message("No list is cached: the provider is not configured, or was not asked for a while.")
_NO_LIST = message("What is cached is no list of models; the next refresh replaces it.")


def _now() -> datetime:
    return datetime.now(UTC)


class UsageEvents:
    def __init__(self, bodies: Bodies, ledger: LedgerPool, *, now: Clock = _now) -> None:
        self._bodies = bodies
        self._ledger = ledger
        self._now = now
        few = max(1, ledger.threads // 4)
        self._share = Share(few, calls=MAX_WRITES_WAITING, refusal=message("Too many usage events wait."))

    @Operation(
        summary="Tell the usage of models",
        description="All events are taken, or none. Sent again with the same Idempotency-Key, they count once.",
        scope=Scope.SUBMIT,
        body=UsageEventsBody,
        answers={202: Answer(description="Taken, and durable.", model=analytics_models.UsageTaken)},
        keyed=True,
    )
    async def on_post(self, req: Request, resp: falcon.asgi.Response) -> None:
        body = await self._bodies.read(req)
        key = key_of(req, body.raw)
        given = await body.work(partial(validated, UsageEventsBody, body.value))
        try:
            events = self._events(given)
        except Invalid:
            if await answered_before(self._ledger, key, resp):  # a repeat comes later than the first time
                return
            raise
        by = req.context.caller.name

        def write(conn: Connection) -> Committed[StoredAnswer]:
            analytics.add_events(conn, events, by=by)
            return Committed(StoredAnswer(202, {}, views.encode({"accepted": len(events)})))

        async with self._share.turn():
            await once_with_the_change(self._ledger, key, resp, write)

    def _events(self, given: UsageEventsBody) -> list[UsageEvent]:
        """Raises Invalid."""
        now = self._now()
        oldest, newest = now - timedelta(days=TAKEN_DAYS), now + _AHEAD
        faults = [
            Fault(
                f"/events/{n}/at", message("Must lie in the last {days} days, and not in the future.", days=TAKEN_DAYS)
            )
            for n, event in enumerate(given.events)
            if not oldest <= event.at <= newest
        ]
        faults += [
            Fault(f"/events/{n}/model", _RESERVED) for n, event in enumerate(given.events) if event.model == OTHER
        ]
        if faults:
            raise Invalid(faults[:MAX_FAULTS])
        return [UsageEvent(new_id(), event.at, event.model, event.tokens) for event in given.events]


class Analytics:
    def __init__(self, ledger: LedgerPool, *, now: Clock = _now) -> None:
        self._ledger = ledger
        self._now = now
        # It may read millions of rows.
        self._share = Share(1, calls=MAX_WAITING, refusal=message("Too many analyses wait."))

    @Operation(
        summary="How much the API and the models are used",
        scope=Scope.READ,
        query=AnalyticsQuery,
        answers={200: Answer(description="Sums by time, in whole hours.", model=analytics_models.Analytics)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        caller = req.context.caller
        period = self._period(query_of(AnalyticsQuery, req))
        read = partial(_read, period=period, owner=caller.owner_seen, of_all=caller.queues is None)
        async with self._share.turn():
            sums = await self._ledger.run(read)
        views.send(resp, 200, {"from": period.start, "to": period.end, "by": period.by, **sums})

    def _period(self, query: AnalyticsQuery) -> Period:
        """Raises Invalid."""
        end = query.end or self._now()
        start = query.start or end - _A_DAY
        if start >= end:
            raise Invalid([Fault("?from", message("Must be before `to`, and before now where `to` is missing."))])
        if end - start > (longest := _LONGEST[query.by]):
            told = message("By {by}, the time may be {days} days long at most.", by=query.by, days=longest.days)
            raise Invalid([Fault("?from", told)])
        return whole_hours(start, end, query.by)


def _read(conn: Connection, period: Period, owner: str | None, of_all: bool) -> dict[str, Any]:
    requests = [_bucket(row) for row in analytics.requests(conn, period)] if of_all else None
    models = [_bucket(row) for row in analytics.models(conn, period, owner=owner)]
    return {"requests": requests, "models": models, "aggregated_at": analytics.aggregated_at(conn, period)}


def _bucket(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"from" if name == "start" else name: value for name, value in row.items()}


class Models:
    def __init__(
        self, client: redis.asyncio.Redis, names: Names, translations: Translations, *, now: Clock = _now
    ) -> None:
        self._client = client
        self._names = names
        self._translations = translations
        self._now = now

    @Operation(
        summary="The models that providers offer, as they were last asked",
        description="A provider without a list has an empty one, and a word why.",
        scope=Scope.READ,
        answers={200: Answer(description="The lists with their age.", model=analytics_models.Models, headers=LANGUAGE)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                found: list[Any] = await self._client.mget([self._names.models(provider) for provider in PROVIDERS])
        except (redis.RedisError, OSError) as e:
            raise CacheUnavailable(str(e)) from e
        words = self._translations.for_reader(req)
        lists = {f"{p}_models": self._shown(stored, words) for p, stored in zip(PROVIDERS, found, strict=True)}
        views.send(resp, 200, lists, words)

    def _shown(self, stored: bytes | None, words: Words) -> dict[str, Any]:
        cached = None if stored is None else ModelList.read(stored)
        if cached is None:
            why = words.say(_NONE_CACHED if stored is None else _NO_LIST)
            return {"models": [], "cached_at": None, "age_seconds": None, "message": why}
        age = cached.age_seconds(self._now())
        return {"models": cached.models, "cached_at": cached.cached_at, "age_seconds": age, "message": None}
