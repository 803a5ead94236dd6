"""Ollama and LiteLLM's proxy, as far as their documentation describes what the platform asks of them.

https://github.com/ollama/ollama/blob/main/docs/api.md, https://docs.litellm.ai/docs/proxy/health and
https://platform.openai.com/docs/api-reference/models/list. tests/kits/models/test_litellm.py asks the real proxy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.http_stand_in import Call, Reply, answering

KEY = "sk-litellm-of-the-tests"


@dataclass
class ModelServer(ABC):
    """`fault`: what is answered to everything, in place of what it would say; `is_away` hangs up."""

    models: list[str]
    url: str = ""
    fault: Reply | None = None
    is_away: bool = False
    calls: list[Call] = field(default_factory=list)

    def answer(self, call: Call) -> Reply | None:
        self.calls.append(call)
        if self.is_away:
            return None
        return self.fault or self.told(call)

    @abstractmethod
    def told(self, call: Call) -> Reply: ...


class Ollama(ModelServer):
    def told(self, call: Call) -> Reply:
        match call.method, call.path:
            case "GET", "/api/version":
                return Reply(200, {"version": "0.12.6"})
            case "GET", "/api/tags":
                return Reply(200, {"models": [self._described(name) for name in self.models]})
        return Reply(404, b"404 page not found")

    def _described(self, name: str) -> dict[str, object]:
        details = {"format": "gguf", "family": "llama", "parameter_size": "8.0B", "quantization_level": "Q4_0"}
        return {
            "name": name, "model": name, "modified_at": "2026-05-04T17:37:44.706015396Z", "size": 4_661_211_808,
            "digest": "365c0bd3c000a25d28ddbf732fe1c6add414de7275464c4e4d1c3b5fcb5d8ad1", "details": details,
        }  # fmt: skip


class LiteLLM(ModelServer):
    def told(self, call: Call) -> Reply:
        match call.method, call.path:
            case "GET", "/health/liveliness":
                return Reply(200, "I'm alive!")
            case "GET", "/v1/models":
                if call.headers.get("authorization") != f"Bearer {KEY}":
                    return Reply(
                        401, {"error": {"message": "Authentication Error", "type": "auth_error", "code": "401"}}
                    )
                data = [
                    {"id": m, "object": "model", "created": 1_677_610_602, "owned_by": "openai"} for m in self.models
                ]
                return Reply(200, {"data": data, "object": "list"})
        return Reply(404, {"detail": "Not Found"})


@contextmanager
def ollama(*models: str) -> Iterator[Ollama]:
    server = Ollama(list(models))
    with answering(server.answer) as server.url:
        yield server


@contextmanager
def litellm(*models: str) -> Iterator[LiteLLM]:
    server = LiteLLM(list(models))
    with answering(server.answer) as server.url:
        yield server
