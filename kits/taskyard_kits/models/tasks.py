"""models.refresh_cache: asks the providers for their models and keeps the lists for GET /models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import redis

from taskyard import AuthenticationFailed, TaskContext, TaskError, task
from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names
from taskyard.catalogue.words import Vocabulary, sentence_to_store
from taskyard.domain.model_lists import KEPT, ModelList

from .declarations import FailedProvider, LeftOut, RefreshResult
from .providers import Offer, Provider, configured
from .rules import RULES
from .settings import ModelSettings
from .words import ERRORS, PHRASES

_VOCABULARY = Vocabulary(ERRORS, PHRASES)
_REDIS_PATIENCE = timedelta(seconds=3)
# Of the models that are left out, so many are told.
_TOLD = 10


@task("models.refresh_cache", queue="low_priority", rules=RULES, errors=ERRORS, phrases=PHRASES)
async def refresh_cache(*, context: TaskContext) -> RefreshResult:
    """Caches the lists of models that Ollama and LiteLLM offer."""
    settings: ModelSettings = context.settings
    providers = configured(settings)
    asked_at = datetime.now(UTC)
    answers = dict(zip(providers, await asyncio.gather(*map(_asked, providers)), strict=True))
    offers = {p: a for p, a in answers.items() if isinstance(a, Offer)}
    faults = {p.name: a for p, a in answers.items() if isinstance(a, TaskError)}
    for fault in faults.values():
        context.log(_told(fault), level="warning")
    for provider, offer in offers.items():
        if offer.left_out:
            context.log(f"Models of {provider.title} left out: {', '.join(offer.left_out[:_TOLD])}.", level="warning")
    if faults and not offers:
        raise min(faults.values(), key=_is_final)
    fresh = {p.name: ModelList(models=offer.models, cached_at=asked_at) for p, offer in offers.items()}
    older = await asyncio.to_thread(_cache, settings, fresh, list(faults))
    cached = {**older, **fresh}
    counts = {p.name: len(cached[p.name].models) if p.name in cached else 0 for p in providers}
    context.set_attributes({"cache.models_cached": sum(counts.values())})
    return RefreshResult(
        ollama_models=counts.get("ollama"),
        litellm_models=counts.get("litellm"),
        cached_at=asked_at,
        failed={name: _failed(fault, older.get(name), asked_at) for name, fault in faults.items()},
        left_out={
            p.name: LeftOut(count=len(offer.left_out), first=offer.left_out[:_TOLD])
            for p, offer in offers.items()
            if offer.left_out
        },
    )


async def _asked(provider: Provider) -> Offer | TaskError:
    try:
        return await provider.models()
    except TaskError as e:
        return e


def _cache(settings: ModelSettings, fresh: Mapping[str, ModelList], others: Sequence[str]) -> dict[str, ModelList]:
    """Writes the fresh lists; returns those that are there of `others`. Raises TaskError cache_unavailable."""
    names = Names(settings.namespace)
    try:
        with make_redis(settings.cache_address, socket_timeout=_REDIS_PATIENCE) as client:
            for provider, found in fresh.items():
                client.set(names.models(provider), found.stored(), ex=KEPT)
            stored = {provider: client.get(names.models(provider)) for provider in others}
    except redis.RedisError:
        raise TaskError("cache_unavailable") from None
    read = {provider: ModelList.read(text) for provider, text in stored.items() if isinstance(text, bytes)}
    return {provider: found for provider, found in read.items() if found is not None}


def _is_final(fault: TaskError) -> bool:
    """Of several faults, one that another attempt may mend is raised."""
    return isinstance(fault, AuthenticationFailed) or not fault.retryable


def _failed(fault: TaskError, older: ModelList | None, now: datetime) -> FailedProvider:
    age = None if older is None else older.age_seconds(now)
    return FailedProvider(reason=_told(fault), code=fault.code, values=fault.values, age_seconds=age)


def _told(fault: TaskError) -> str:
    return sentence_to_store(fault.code, fault.values, _VOCABULARY)
