"""models.refresh_cache against servers that speak as Ollama and LiteLLM document it, and a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from taskyard.broker.names import Names
from taskyard.catalogue.kits import load
from taskyard.domain.model_lists import KEPT, MAX_MODELS, ModelList
from taskyard.domain.tasks import RetryIn
from taskyard.environment import InvalidSettings, read_kit_settings
from taskyard.running.trial import TaskRun, run_task
from taskyard.settings import Settings
from taskyard_kits.models.settings import ModelSettings
from tests.support.http_stand_in import Reply
from tests.support.model_servers import KEY, LiteLLM, Ollama, litellm, ollama

NAMES = Names()


@pytest.fixture
def local() -> Iterator[Ollama]:
    with ollama("llama3:latest", "mistral:7b") as server:
        yield server


@pytest.fixture
def proxy() -> Iterator[LiteLLM]:
    with litellm("gpt-4o") as server:
        yield server


@pytest.fixture
def cache(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def refresh(redis_url: str, *servers: Ollama | LiteLLM, **more: Any) -> TaskRun:
    given = {f"{type(server).__name__.lower()}_base_url": server.url for server in servers}
    settings = ModelSettings.model_validate({"redis_url": redis_url, "litellm_api_key": KEY, **given, **more})
    return run_task("models.refresh_cache", {}, settings=settings)


def cached(cache: redis.Redis, provider: str) -> list[str] | None:
    stored = cache.get(NAMES.models(provider))
    found = ModelList.read(stored) if isinstance(stored, bytes) else None
    return None if found is None else found.models


def keep(cache: redis.Redis, provider: str, *models: str, minutes: float) -> None:
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    cache.set(NAMES.models(provider), ModelList(models=list(models), cached_at=at).stored(), ex=600)


def test_both_lists_are_cached_for_an_hour(redis_url: str, cache: redis.Redis, local: Ollama, proxy: LiteLLM) -> None:
    run = refresh(redis_url, local, proxy)
    result = run.result
    assert (result["ollama_models"], result["litellm_models"], result["failed"]) == (2, 1, {})
    assert run.attributes == {"cache.models_cached": 3}
    assert cached(cache, "ollama") == ["llama3:latest", "mistral:7b"]
    assert cached(cache, "litellm") == ["gpt-4o"]
    assert all(0 < cache.ttl(NAMES.models(p)) <= KEPT.total_seconds() == 3600 for p in ("ollama", "litellm"))


def test_one_that_is_away_keeps_its_older_list_and_is_named_with_its_age(
    redis_url: str, cache: redis.Redis, local: Ollama, proxy: LiteLLM
) -> None:
    keep(cache, "litellm", "gpt-3", "gpt-2", minutes=20)
    proxy.is_away = True
    run = refresh(redis_url, local, proxy)
    assert (run.result["ollama_models"], run.result["litellm_models"]) == (2, 2)
    assert cached(cache, "ollama") == ["llama3:latest", "mistral:7b"]
    assert cached(cache, "litellm") == ["gpt-3", "gpt-2"]
    assert 0 < cache.ttl(NAMES.models("litellm")) <= 600, (
        "an old list does not live longer because its provider is away"
    )
    (failed,) = run.result["failed"].items()
    assert failed[0] == "litellm"
    assert failed[1]["code"] == "provider_unanswered"
    assert failed[1]["reason"].startswith("The provider LiteLLM does not answer: the connection ended")
    assert failed[1]["age_seconds"] >= 1200
    assert failed[1]["reason"] in run.logs


def test_where_none_answers_the_task_fails_and_is_tried_again(
    redis_url: str, cache: redis.Redis, local: Ollama, proxy: LiteLLM
) -> None:
    keep(cache, "ollama", "llama2", minutes=5)
    local.is_away = True
    proxy.fault = Reply(401, {})
    run = refresh(redis_url, local, proxy)
    assert (run.fault.code, run.will_retry) == ("provider_unanswered", True), "the one that another attempt may mend"
    assert cached(cache, "ollama") == ["llama2"]


def test_where_neither_a_provider_nor_redis_answers_the_providers_fault_is_told(local: Ollama, proxy: LiteLLM) -> None:
    local.is_away = proxy.is_away = True
    run = refresh("redis://127.0.0.1:1/0", local, proxy)
    assert (run.fault.code, run.will_retry) == ("provider_unanswered", True)
    assert sum("does not answer" in line for line in run.logs) == 2


def test_what_a_provider_lacks_is_logged_also_where_redis_is_away(local: Ollama, proxy: LiteLLM) -> None:
    proxy.is_away = True
    run = refresh("redis://127.0.0.1:1/0", local, proxy)
    assert run.fault.code == "cache_unavailable"
    assert any(line.startswith("The provider LiteLLM does not answer") for line in run.logs)


@pytest.mark.parametrize("status", [429, 503])
def test_a_provider_that_asks_for_fewer_calls_is_asked_again_when_it_says(
    redis_url: str, proxy: LiteLLM, status: int
) -> None:
    proxy.fault = Reply(status, {"error": {"message": "Rate limit exceeded"}}, (("Retry-After", "17"),))
    run = refresh(redis_url, proxy)
    assert isinstance(run.outcome, RetryIn)
    assert (run.fault.code, run.outcome.delay) == ("provider_busy", timedelta(seconds=17))
    assert run.fault.message.startswith("The provider LiteLLM asks for fewer calls.")


def test_a_provider_that_names_no_time_is_asked_again_after_a_minute(redis_url: str, proxy: LiteLLM) -> None:
    proxy.fault = Reply(429, {})
    run = refresh(redis_url, proxy)
    assert isinstance(run.outcome, RetryIn)
    assert run.fault.code == "provider_busy"
    assert timedelta(seconds=3) <= run.outcome.delay <= timedelta(seconds=60)


def test_what_is_not_configured_is_left_out(redis_url: str, cache: redis.Redis, local: Ollama) -> None:
    result = refresh(redis_url, local).result
    assert (result["ollama_models"], result["litellm_models"]) == (2, None)
    result = refresh(redis_url).result
    assert (result["ollama_models"], result["litellm_models"], result["failed"]) == (None, None, {})
    assert cached(cache, "litellm") is None


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_key_that_is_refused_is_final_and_told_nowhere(redis_url: str, proxy: LiteLLM, status: int) -> None:
    proxy.fault = Reply(status, {})
    run = refresh(redis_url, proxy, litellm_api_key="sk-a-wrong-one")
    assert (run.fault.code, run.will_retry) == ("provider_key_refused", False)
    assert proxy.calls[0].headers["authorization"] == "Bearer sk-a-wrong-one"
    assert "wrong-one" not in f"{run}"


def test_where_no_key_was_sent_a_400_says_nothing_of_keys(redis_url: str, local: Ollama, proxy: LiteLLM) -> None:
    local.fault = proxy.fault = Reply(400, {})
    assert refresh(redis_url, local).fault.code == "provider_refused"
    assert refresh(redis_url, proxy, litellm_api_key=None).fault.code == "provider_refused"


@pytest.mark.parametrize(
    ("odd", "told"),
    [("mistral\u200b", r"'mistral\u200b'"), ("x" * 201, f"'{'x' * 40}'..."), ("", "''"), (7, "no name")],
    ids=["zero-width space", "201 characters", "empty", "a number"],
)
def test_one_odd_name_is_left_out_and_told(
    redis_url: str, cache: redis.Redis, local: Ollama, odd: Any, told: str
) -> None:
    local.models.insert(1, odd)
    run = refresh(redis_url, local)
    assert cached(cache, "ollama") == ["llama3:latest", "mistral:7b"]
    assert run.result["ollama_models"] == 2
    assert run.result["left_out"] == {"ollama": {"count": 1, "first": [f"2 ({told})"]}}
    assert f"Models of Ollama left out: 2 ({told})." in run.logs


def test_of_many_odd_names_the_first_are_told(redis_url: str, local: Ollama) -> None:
    local.models.extend(["a\nb"] * 4_000)
    run = refresh(redis_url, local)
    assert (run.result["left_out"]["ollama"]["count"], len(run.result["left_out"]["ollama"]["first"])) == (4_000, 10)
    assert max(map(len, run.logs)) < 500


TOO_LONG = {
    "too many": Reply(200, {"models": [{"name": f"m{n}"} for n in range(MAX_MODELS + 1)]}),
    "too large": Reply(200, b'{"models": []' + b" " * 9_000_000 + b"}"),
}


@pytest.mark.parametrize("answer", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_a_list_that_is_too_long_is_final_and_says_so(
    redis_url: str, cache: redis.Redis, local: Ollama, proxy: LiteLLM, answer: Reply
) -> None:
    local.fault = answer
    run = refresh(redis_url, local)
    assert (run.fault.code, run.will_retry) == ("provider_list_too_long", False)
    assert "more than 5000 models, or more than 8 MiB" in run.fault.message
    assert cached(cache, "ollama") is None
    proxy.is_away = True
    assert refresh(redis_url, local, proxy).fault.code == "provider_unanswered", "the one that another attempt may mend"


NAMELESS: tuple[Any, ...] = (
    [{"name": ""}],
    [{"name": 7}],
    [{"name": "x" * 201}],
    [{"name": "a\nb"}],
    [{"model": "a"}],
    ["a"],
    {},
    None,
)
UNREADABLE = {
    **{f"models-{n}": Reply(200, {"models": models}) for n, models in enumerate(NAMELESS)},
    "no object": Reply(200, []),
    "a page": Reply(200, b"<html>"),
    "deep": Reply(200, b'{"models": ' + b"[" * 100_000),
}


@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_no_list_of_models_is_not_cached(
    redis_url: str, cache: redis.Redis, local: Ollama, answer: Reply
) -> None:
    local.fault = answer
    assert refresh(redis_url, local).fault.code == "provider_unreadable"
    assert cached(cache, "ollama") is None


def test_another_status_or_a_redirect_is_told(redis_url: str, local: Ollama, proxy: LiteLLM) -> None:
    local.fault = Reply(503, b"")
    run = refresh(redis_url, local)
    assert run.fault.message.startswith("The provider Ollama answered with the status 503.")
    local.fault = Reply(302, b"", (("Location", proxy.url),))
    run = refresh(redis_url, local)
    assert run.fault.values == {"provider": "Ollama", "reason": {"phrase": "server_redirects"}}
    assert not proxy.calls


def test_the_longest_list_fits(redis_url: str, cache: redis.Redis, local: Ollama) -> None:
    local.models = [f"{n:05}" + "é" * 195 for n in range(MAX_MODELS)]
    assert refresh(redis_url, local).result["ollama_models"] == MAX_MODELS
    assert cached(cache, "ollama") == local.models


def test_without_redis_it_is_tried_again(local: Ollama) -> None:
    run = refresh("redis://:pass@127.0.0.1:1/0", local)
    assert (run.fault.code, run.will_retry) == ("cache_unavailable", True)
    assert "pass" not in f"{run}"


def test_a_cache_of_its_own_is_used(redis_url: str, cache: redis.Redis, local: Ollama) -> None:
    refresh("redis://127.0.0.1:1/0", local, cache_url=redis_url)
    assert cached(cache, "ollama") == local.models


def test_the_settings_have_the_names_that_the_references_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://10.0.0.7:11434/")
    monkeypatch.setenv("TASKYARD_LITELLM_BASE_URL", "https://litellm.example.org/root")
    monkeypatch.setenv("LITELLM_API_KEY", KEY)
    settings = read_kit_settings(ModelSettings)
    assert (settings.ollama_base_url, settings.litellm_base_url) == (
        "http://10.0.0.7:11434",
        "https://litellm.example.org/root",
    )
    assert KEY not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OLLAMA_BASE_URL", "ollama:11434"),
        ("OLLAMA_BASE_URL", "http://user:hush@ollama"),
        ("LITELLM_BASE_URL", "http://litellm?key=hush"),
        ("LITELLM_API_KEY", "hush hush"),
        ("TASKYARD_CACHE_URL", "http://:hush@cache"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettings, match=rf"^{variable}: ") as refused:
        read_kit_settings(ModelSettings)
    assert "hush" not in str(refused.value)


def test_every_word_is_there_in_four_languages() -> None:
    catalogue = load(Settings(diagnostics=False)).catalogue
    for name in ("models.refresh_cache", "payments.process", "health.check"):
        for code, words in {**catalogue[name].errors, **catalogue[name].phrases}.items():
            assert set(words) == {"en", "de", "fr", "hu"}, code
