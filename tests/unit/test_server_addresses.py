"""Addresses of Redis: with Sentinels, with TLS, and the errors in them."""

from pathlib import Path

import pytest

from taskyard.addresses import SentinelURL, parse_sentinel_url
from taskyard.broker.connect import make_redis
from taskyard.environment import InvalidSettings, read_settings
from tests.support.certificates import Authority


def test_an_address_of_sentinels_names_them_the_service_and_the_servers_login() -> None:
    assert parse_sentinel_url("redis+sentinel://u:p%40@a:1,b,[::1]:3/yard/2?x=y") == SentinelURL(
        (("a", 1), ("b", 26379), ("::1", 3)), "yard", "redis://u:p%40@/2?x=y"
    )
    assert parse_sentinel_url("rediss+sentinel://a/yard") == SentinelURL((("a", 26379),), "yard", "rediss:///0")
    assert parse_sentinel_url("redis://a:1/0") is None


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://a:1", "names no service"),
        ("redis+sentinel://a:1/", "names no service"),
        ("redis+sentinel://a:0/yard", "the port"),
        ("redis+sentinel://a:b/yard", "the port"),
        ("redis+sentinel://a,,b/yard", "has no host"),
        ("redis+sentinel://:hunter2@/yard", "has no host"),
        ("redis+sentinel://a/yard/x", "the database is a number"),
        ("sentinel://a/yard", "must be a Redis URL"),
    ],
)
def test_an_invalid_address_is_one_line_at_the_start(url: str, says: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read_settings(redis_url=url)
    assert str(refused.value).startswith("TASKYARD_REDIS_URL: ")
    assert says in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_the_files_for_tls_reach_the_client(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine = authority.sign("client")
    files = {
        "redis_ca_file": authority.certificate,
        "redis_cert_file": mine.certificate,
        "redis_key_file": mine.key,
    }
    for url in ("rediss://:p@h:1/3", "rediss://:p@h:1/3?ssl_check_hostname=no"):
        settings = read_settings(redis_url=url, **files)
        with make_redis(settings.redis_url.get_secret_value()) as client:
            made = client.connection_pool.connection_kwargs
        assert (made["host"], made["port"], made["db"], made["password"]) == ("h", 1, 3, "p")
        assert made["ssl_ca_certs"] == str(authority.certificate)
        assert (made["ssl_certfile"], made["ssl_keyfile"]) == (str(mine.certificate), str(mine.key))


def test_the_cache_is_with_the_queues_unless_it_has_an_address_and_tls_of_its_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    assert read_settings(redis_url="redis://h/0").cache_address == "redis://h/0"
    settings = read_settings(redis_url="rediss://h/0", redis_ca_file=authority.certificate, cache_url="redis://c/1")
    assert settings.cache_address == "redis://c/1"
    settings = read_settings(redis_url="rediss://h/0", redis_ca_file=authority.certificate, cache_url="rediss://c/1")
    with make_redis(settings.cache_address) as client:
        assert client.connection_pool.connection_kwargs["ssl_ca_certs"] == str(authority.certificate)
        assert client.connection_pool.connection_kwargs["host"] == "c"


def test_sentinels_have_a_password_of_their_own() -> None:
    settings = read_settings(redis_url="redis+sentinel://:servers@a/yard", redis_sentinel_password="the sentinels'")
    with make_redis(settings.redis_url.get_secret_value()) as client:
        pool = client.connection_pool
        assert pool.connection_kwargs["password"] == "servers"
        (sentinel,) = pool.sentinel_manager.sentinels
        assert sentinel.connection_pool.connection_kwargs["password"] == "the sentinels'"
    assert "the sentinels" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"redis_ca_file": "{ca}"}, "TASKYARD_REDIS_CA_FILE needs TLS"),
        ({"redis_url": "rediss://h/0", "redis_ca_file": "/no/such"}, "TASKYARD_REDIS_CA_FILE: cannot read /no/such"),
        ({"redis_url": "rediss://h/0", "redis_ca_file": "{key}"}, "TASKYARD_REDIS_CA_FILE: "),
        ({"redis_url": "rediss://h/0", "redis_cert_file": "{cert}"}, "belong together"),
        ({"redis_url": "rediss://h/0", "redis_cert_file": "{cert}", "redis_key_file": "{other}"}, "_KEY_FILE: "),
        ({"redis_url": "rediss://h/0", "redis_cert_file": "/no", "redis_key_file": "{key}"}, "cannot read"),
        ({"redis_url": "redis://h/0", "redis_sentinel_password": "x"}, "TASKYARD_REDIS_SENTINEL_PASSWORD needs"),
    ],
)
def test_options_that_do_not_fit_together_are_one_line_at_the_start(
    tmp_path: Path, given: dict[str, str], says: str
) -> None:
    authority = Authority(tmp_path)
    mine, other = authority.sign("mine"), authority.sign("other")
    places = {"ca": authority.certificate, "cert": mine.certificate, "key": mine.key, "other": other.key}
    with pytest.raises(InvalidSettings) as refused:
        read_settings(**{name: value.format(**places) for name, value in given.items()})
    assert says in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
