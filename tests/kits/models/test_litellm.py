"""LiteLLM's real proxy tells its models, and that it is there."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from taskyard import AuthenticationFailed, TaskError
from taskyard.broker.names import Names
from taskyard.domain.model_lists import ModelList
from taskyard.running.trial import run_task
from taskyard_kits.models.providers import Provider, configured
from taskyard_kits.models.settings import ModelSettings, ProviderSettings
from tests.support.fleet import answers, free_port, wait_for

pytestmark = [pytest.mark.litellm, pytest.mark.timeout(180)]

PROGRAM = Path(__file__).parents[3] / ".venv-litellm/bin/litellm"
KEY = "sk-of-the-test"
CONFIG = f"""
model_list:
  - {{model_name: gpt-4o, litellm_params: {{model: openai/gpt-4o, api_key: none, mock_response: hello}}}}
  - {{model_name: small, litellm_params: {{model: openai/gpt-4o-mini, api_key: none, mock_response: hello}}}}
general_settings: {{master_key: {KEY}}}
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert PROGRAM.exists(), "make test-litellm installs it"
    home, port = tmp_path_factory.mktemp("litellm"), free_port()
    (home / "config.yaml").write_text(CONFIG)
    # It would otherwise fetch a table of prices.
    env = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [
        str(PROGRAM),
        "--config",
        "config.yaml",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--telemetry",
        "False",
    ]
    log = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=home, env=env, stdout=log, stderr=log) as proxy:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: answers(f"{url}/health/liveliness"), 120, "the proxy", every=0.5)
            yield url
        finally:
            proxy.kill()


def provider(address: str, key: str | None) -> Provider:
    given = {"litellm_base_url": address, "litellm_api_key": key}
    (found,) = configured(ProviderSettings.model_validate(given))
    return found


def test_with_its_key_it_lists_its_models(address: str) -> None:
    assert asyncio.run(provider(address, KEY).models()).models == ["gpt-4o", "small"]


def test_the_task_keeps_its_list_for_get_models(address: str, redis_url: str) -> None:
    given = {"litellm_base_url": address, "litellm_api_key": KEY, "redis_url": redis_url}
    found = run_task("models.refresh_cache", {}, settings=ModelSettings.model_validate(given)).result
    assert (found["litellm_models"], found["ollama_models"], found["failed"]) == (2, None, {})
    with redis.Redis.from_url(redis_url) as cache:
        stored = cache.get(Names().models("litellm"))
    assert isinstance(stored, bytes)
    kept = ModelList.read(stored)
    assert kept is not None
    assert kept.models == ["gpt-4o", "small"]


def test_another_key_is_refused(address: str) -> None:
    with pytest.raises(AuthenticationFailed, match="provider_key_refused"):
        asyncio.run(provider(address, "sk-another").models())


def test_no_key_is_an_error_that_asks_for_one(address: str) -> None:
    with pytest.raises(TaskError, match=r"provider_refused.*500"):
        asyncio.run(provider(address, None).models())


def test_it_is_there_without_a_key(address: str) -> None:
    asyncio.run(provider(address, None).greet())
