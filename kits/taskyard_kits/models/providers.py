"""Ollama and LiteLLM, by their documented calls: what models they offer, and whether they are there.

Ollama: https://github.com/ollama/ollama/blob/main/docs/api.md (`/api/tags`, `/api/version`).
LiteLLM's proxy: https://docs.litellm.ai/docs/proxy/health (`/health/liveliness`), and OpenAI's `/v1/models`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

import orjson

from taskyard import AuthenticationFailed, TaskError
from taskyard.domain.model_lists import MAX_MODELS, MAX_NAME
from taskyard.outbound.client import Answer, Bounds
from taskyard_kits import servers

from .settings import ProviderSettings

# LiteLLM tells some 90 bytes of a model, Ollama some 400 and its name twice.
_LIST = Bounds(connect_seconds=5.0, read_seconds=10.0, total_seconds=20.0, most_bytes=8 * 1024 * 1024, redirects=0)
# Within the patience of health.check.
_ALIVE = Bounds(connect_seconds=3.0, read_seconds=5.0, total_seconds=8.0, most_bytes=16 * 1024, redirects=0)
# Of a name that does not fit, so much is told.
_QUOTED = 40
_KEY_REFUSED = {401, 403}
# LiteLLM without a database, of a key that is not its own. Without any key it then says 500.
_KEY_UNKNOWN = 400


class Offer(NamedTuple):
    """The names of a provider's models, as it orders them. `left_out`: entries without a name that can be shown, each
    by its place, counted from 1, and by what it has for a name."""

    models: list[str]
    left_out: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """`name` is that of its list in Redis, `title` is for people. A list has its models in `member`, each under
    `model_name`."""

    name: str
    title: str
    base_url: str
    list_path: str
    member: str
    model_name: str
    alive_path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def models(self) -> Offer:
        """Raises TaskError provider_unanswered, provider_refused, provider_unreadable and provider_list_too_long,
        RateLimited provider_busy, and AuthenticationFailed provider_key_refused."""
        answer = await self._get(self.list_path, _LIST, self.headers)
        if answer.status in _KEY_REFUSED or (answer.status == _KEY_UNKNOWN and self.headers):
            raise AuthenticationFailed("provider_key_refused", provider=self.title)
        self._check(answer)
        entries = [] if answer.is_cut else _entries(answer.body, self.member)
        if answer.is_cut or (entries is not None and len(entries) > MAX_MODELS):
            raise TaskError(
                "provider_list_too_long",
                retryable=False,
                provider=self.title,
                limit=MAX_MODELS,
                megabytes=_LIST.most_bytes // 1024**2,
            )
        offer = None if entries is None else _offer(entries, self.model_name)
        if offer is None:
            raise TaskError("provider_unreadable", provider=self.title)
        return offer

    async def greet(self) -> None:
        """Asks whether it is there, without the key. Raises TaskError provider_unanswered and provider_refused, and
        RateLimited provider_busy."""
        self._check(await self._get(self.alive_path, _ALIVE, {}))

    async def _get(self, path: str, bounds: Bounds, headers: Mapping[str, str]) -> Answer:
        return await servers.ask(
            "GET",
            self.base_url + path,
            unanswered="provider_unanswered",
            bounds=bounds,
            headers=headers,
            provider=self.title,
        )

    def _check(self, answer: Answer) -> None:
        if answer.status != 200:
            busy = servers.rate_limit(answer, "provider_busy", provider=self.title)
            raise busy or TaskError("provider_refused", provider=self.title, status=answer.status)


def configured(settings: ProviderSettings) -> list[Provider]:
    """The providers that have an address."""
    found = []
    if settings.ollama_base_url is not None:
        found.append(
            Provider(
                "ollama",
                "Ollama",
                settings.ollama_base_url,
                list_path="/api/tags",
                member="models",
                model_name="name",
                alive_path="/api/version",
            )
        )
    if settings.litellm_base_url is not None:
        key = settings.litellm_api_key
        found.append(
            Provider(
                "litellm",
                "LiteLLM",
                settings.litellm_base_url,
                list_path="/v1/models",
                member="data",
                model_name="id",
                alive_path="/health/liveliness",
                headers={} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"},
            )
        )
    return found


def _entries(body: bytes, member: str) -> list[Any] | None:
    """None where it is no list as it is documented."""
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    entries = told.get(member) if isinstance(told, dict) else None
    return entries if isinstance(entries, list) else None


def _offer(entries: list[Any], model_name: str) -> Offer | None:
    """None where there are entries, and none of them has a name that can be shown."""
    names = [entry.get(model_name) if isinstance(entry, dict) else None for entry in entries]
    fitting = [name for name in names if _fits(name)]
    left_out = [f"{n} ({_quoted(name)})" for n, name in enumerate(names, 1) if not _fits(name)]
    return None if left_out and not fitting else Offer(list(dict.fromkeys(fitting)), left_out)


def _fits(name: Any) -> TypeGuard[str]:
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()


def _quoted(name: Any) -> str:
    """In ASCII, so that what cannot be seen is seen."""
    if not isinstance(name, str):
        return "no name"
    return ascii(name[:_QUOTED]) + ("..." if len(name) > _QUOTED else "")
