"""The settings of the models kit: where the providers are, and where their lists are cached."""

from __future__ import annotations

from pydantic import Field

from taskyard.settings_groups import KitSettings, RedisSettings, names
from taskyard_kits.servers import ServerAddress, ServerKey


class ProviderSettings(KitSettings):
    """A provider without an address is left out."""

    ollama_base_url: ServerAddress | None = Field(
        default=None,
        description="Ollama, as http://ollama:11434.",
        validation_alias=names("OLLAMA_BASE_URL", "OLLAMA_BASE_URL"),
    )
    litellm_base_url: ServerAddress | None = Field(
        default=None,
        description="LiteLLM's proxy, as http://litellm:4000.",
        validation_alias=names("LITELLM_BASE_URL", "LITELLM_BASE_URL"),
    )
    litellm_api_key: ServerKey | None = Field(
        default=None,
        repr=False,
        description="The key of LiteLLM's proxy.",
        validation_alias=names("LITELLM_API_KEY", "LITELLM_API_KEY"),
    )


class ModelSettings(RedisSettings, ProviderSettings):
    pass
