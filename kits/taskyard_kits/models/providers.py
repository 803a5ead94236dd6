"""Ollama and LiteLLM, by their documented calls: what models they offer, and whether they are there.

Ollama: https://github.com/ollama/ollama/blob/main/docs/api.md (`/api/tags`, `/api/version`).
LiteLLM's proxy: https://docs.litellm.ai/docs/proxy/health (`/health/liveliness`), and OpenAI's `/v1/models`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
# 400: LiteLLM without a database, of a key that is not its own. Without any key it then says 500.
_KEY_REFUSED = {400, 401, 403}


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

    async def models(self) -> list[str]:
        """The names of its models, as it orders them.

        Raises TaskError provider_unanswered, provider_refused and provider_unreadable, and AuthenticationFailed
        provider_key_refused.
        """
        answer = await self._get(self.list_path, _LIST, self.headers)
        if answer.status in _KEY_REFUSED:
            raise AuthenticationFailed("provider_key_refused", provider=self.title)
        self._check(answer)
        names = None if answer.is_cut else _names(answer.body, self.member, self.model_name)
        if names is None:
            raise TaskError("provider_unreadable", provider=self.title, limit=MAX_MODELS)
        return names

    async def greet(self) -> None:
        """Asks whether it is there, without the key. Raises TaskError provider_unanswered and provider_refused."""
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
            raise TaskError("provider_refused", provider=self.title, status=answer.status)


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


def _names(body: bytes, member: str, model_name: str) -> list[str] | None:
    """None where it is no list of models as it is documented, or one that is too long."""
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    entries = told.get(member) if isinstance(told, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_MODELS:
        return None
    names = [entry.get(model_name) if isinstance(entry, dict) else None for entry in entries]
    fitting = [name for name in names if isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()]
    return list(dict.fromkeys(fitting)) if len(fitting) == len(names) else None
