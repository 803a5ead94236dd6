"""Requests to addresses that callers give, against real servers: slow, cut, lying and hostile ones."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from taskyard.outbound.client import AddressRefused, Answer, Bounds, Unanswered, request
from taskyard.outbound.networks import Address, Networks
from taskyard.outbound.urls import read_url
from tests.support.certificates import Authority
from tests.support.receiver import receiver

HERE = Networks.parse(["127.0.0.0/8"])
BOUNDS = Bounds(connect_seconds=20, read_seconds=20, total_seconds=20, most_bytes=1000)
# For what is slow, and not for what has to be in time.
SHORT = Bounds(connect_seconds=1, read_seconds=0.5, total_seconds=1.5, most_bytes=1000)


def post(url: str, **more: Any) -> Answer:
    more = {"networks": HERE, "bounds": BOUNDS, "content": b"{}", **more}
    return asyncio.run(request("POST", read_url(url), **more))


def names(**known: str) -> Callable[[str, int], Any]:
    """A resolver that knows these names."""

    async def resolve(host: str, port: int) -> Sequence[Address]:
        if host.partition(".")[0] not in known:
            raise socket.gaierror("unknown")
        return [ip_address(text) for text in known[host.partition(".")[0]].split(",")]

    return resolve


@contextmanager
def raw_server(behave: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[str]:
    """Each connection is handed to `behave`, and closed afterwards."""
    with socket.create_server((host, 0)) as listening:
        listening.settimeout(0.1)
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                try:
                    wire, _ = listening.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=handle, args=(wire,), daemon=True).start()

        def handle(wire: socket.socket) -> None:
            with wire:
                try:
                    wire.recv(65536)
                    behave(wire)
                except OSError:
                    pass  # the client hung up

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://{host}:{listening.getsockname()[1]}/"
        finally:
            stopped.set()
            thread.join()


def reason_of(url: str, **more: Any) -> str:
    with pytest.raises(Unanswered) as refused:
        post(url, **more)
    return refused.value.reason


def test_a_request_goes_to_the_address_that_was_checked_with_the_name_in_host() -> None:
    with receiver() as other_end:
        answer = post(f"http://shop.test:{other_end.port}/a?b=c", resolve=names(shop="127.0.0.1"))
    assert answer.status == 204
    (got,) = other_end.got
    assert (got.path, got.headers["host"], got.body) == ("/a?b=c", f"shop.test:{other_end.port}", b"{}")


def test_a_name_that_changes_its_address_after_the_check_is_connected_to_where_it_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding, at the level of the socket module: the second look-up would lead to an address inside."""
    asked: list[str] = []
    lookup = socket.getaddrinfo

    def rebinding(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "rebound.test":
            asked.append(host)
            host = "127.0.0.2" if len(asked) == 1 else "127.0.0.1"
        return lookup(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with receiver("127.0.0.2") as meant, receiver("127.0.0.1") as inside:
        post(f"http://rebound.test:{meant.port}/", networks=Networks.parse(["127.0.0.2"]))
        assert (len(meant.got), asked) == (1, ["rebound.test"])
        with pytest.raises(AddressRefused):
            post(f"http://rebound.test:{inside.port}/", networks=Networks.parse(["127.0.0.2"]))
    assert not inside.got


@pytest.mark.parametrize("text", ["127.0.0.1", "8.8.8.8,127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
def test_a_name_with_an_address_that_is_not_public_is_refused_before_a_connection(text: str) -> None:
    with receiver() as other_end, pytest.raises(AddressRefused):
        post(f"http://inside.test:{other_end.port}/", networks=Networks(), resolve=names(inside=text))
    assert not other_end.got


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "127.1", "2130706433"])
def test_every_spelling_of_an_address_inside_is_refused(host: str) -> None:
    with receiver() as other_end, pytest.raises(AddressRefused):
        post(f"http://{host}:{other_end.port}/", networks=Networks())
    assert not other_end.got


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_to_an_address_inside_is_refused(status: int) -> None:
    with receiver() as other_end:
        other_end.answers.append((status, {"Location": "http://169.254.169.254/latest/meta-data/"}))
        with pytest.raises(AddressRefused):
            post(other_end.url)


def test_redirects_are_followed_with_their_body_and_bounded() -> None:
    with receiver() as other_end:
        other_end.answers.append((307, {"Location": "/there"}))
        assert post(other_end.url).status == 204
        assert [(m.path, m.body) for m in other_end.got] == [("/", b"{}"), ("/there", b"{}")]
        other_end.got.clear()
        other_end.answers += [(307, {"Location": "/again"})] * 9
        assert reason_of(other_end.url) == "redirects"
        assert len(other_end.got) == BOUNDS.redirects + 1


def test_credentials_are_for_the_origin_that_they_were_given_for() -> None:
    given = {"Authorization": "Bearer x", "cookie": "y", "X-Trace": "z"}
    with receiver() as other_end, receiver() as elsewhere:
        other_end.answers += [(307, {"Location": "/there"}), (307, {"Location": f"{elsewhere.url}/"})]
        assert post(other_end.url, headers=given).status == 204
    for message in other_end.got:
        assert (message.headers["authorization"], message.headers["cookie"]) == ("Bearer x", "y")
    (stranger,) = elsewhere.got
    assert not {"authorization", "cookie"} & set(stranger.headers)
    assert (stranger.headers["x-trace"], stranger.headers["host"]) == ("z", f"127.0.0.1:{elsewhere.port}")


def test_a_get_follows_what_a_post_does_not() -> None:
    with receiver() as other_end:
        other_end.answers.append((302, {"Location": "/there"}))
        answer = asyncio.run(request("GET", read_url(other_end.url), networks=HERE, bounds=BOUNDS))
    assert (answer.status, [m.path for m in other_end.got]) == (204, ["/", "/there"])


@pytest.mark.parametrize("location", ["ftp://h/", "http://u:p@h/", "http://[/"])
def test_a_redirect_that_is_no_address_is_not_followed(location: str) -> None:
    with receiver() as other_end:
        other_end.answers.append((307, {"Location": location}))
        assert reason_of(other_end.url) == "redirects"


def test_a_redirect_that_would_make_another_request_of_a_post_is_the_answer() -> None:
    with receiver() as other_end:
        other_end.answers.append((302, {"Location": "/there"}))
        assert post(other_end.url).status == 302
        assert len(other_end.got) == 1


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def trusting(authority: Authority) -> Callable[[], ssl.SSLContext]:
    return lambda: ssl.create_default_context(cafile=str(authority.certificate))


def test_over_tls_the_name_is_what_the_certificate_has_to_be_for(authority: Authority) -> None:
    pair = authority.sign("receiver", dns="shop.test")
    asked: list[str | None] = []
    context = authority.server_context(pair)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with receiver(tls=context) as other_end:
        at = f"https://shop.test:{other_end.port}/"
        known = {"resolve": names(shop="127.0.0.1", other="127.0.0.1"), "tls": trusting(authority)}
        assert post(at, **known).status == 204
        assert asked == ["shop.test"]
        assert post(f"https://shop.test.:{other_end.port}/", **known).status == 204, "fully qualified"
        assert asked.pop() == "shop.test"
        assert reason_of(f"https://other.test:{other_end.port}/", **known) == "tls"
        assert reason_of(f"https://127.0.0.1:{other_end.port}/", **known) == "tls"
        assert reason_of(at, resolve=known["resolve"]) == "tls", "an authority that nobody trusts"
        other_end.answers.append((307, {"Location": f"http://shop.test:{other_end.port}/"}))
        assert reason_of(at, **known) == "redirects", "it would leave TLS"
        assert len(other_end.got) == 3


def test_the_next_address_of_a_name_is_tried_where_one_takes_no_connection() -> None:
    with receiver("127.0.0.3") as other_end:
        both = names(shop="127.0.0.2,127.0.0.3")
        assert post(f"http://shop.test:{other_end.port}/", resolve=both).status == 204


def test_what_does_not_answer_is_told_apart() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        assert reason_of(f"http://127.0.0.1:{taken.getsockname()[1]}/") == "unreachable"
    assert reason_of("http://nowhere.test/", resolve=names()) == "unresolved"
    with raw_server(lambda wire: None) as url:
        assert reason_of(url) == "broken"
    with raw_server(lambda wire: wire.sendall(b"SSH-2.0-OpenSSH_9\r\n")) as url:
        assert reason_of(url) == "broken"
    with raw_server(lambda wire: wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")) as url:
        assert reason_of(url) == "broken"
    with raw_server(lambda wire: wire.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2**20)) as url:
        assert reason_of(url) == "broken"


def test_a_receiver_that_says_nothing_or_drips_for_ever_is_given_up() -> None:
    def drip(wire: socket.socket) -> None:
        wire.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            wire.sendall(b"x")
            time.sleep(0.2)  # sooner than the time-out of a single read

    for behave in (lambda wire: time.sleep(20), drip):
        with raw_server(behave) as url:
            began = time.monotonic()
            assert reason_of(url, bounds=SHORT) == "slow"
            assert time.monotonic() - began < 15


def test_a_name_server_that_never_answers_is_given_up_and_holds_up_no_other_coroutine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered, lookup = threading.Event(), socket.getaddrinfo

    def hanging(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "hanging.test":
            answered.wait(20)
        return lookup(host, *arguments, **options)

    async def many() -> list[Any]:
        url = read_url("http://hanging.test/")
        asked = [asyncio.create_task(request("GET", url, networks=HERE, bounds=SHORT)) for _ in range(64)]
        await asyncio.sleep(0.1)
        await asyncio.wait_for(asyncio.to_thread(time.monotonic), 10)
        return await asyncio.gather(*asked, return_exceptions=True)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    began = time.monotonic()
    failures = asyncio.run(many())
    assert time.monotonic() - began < 15, "nor does the end of the loop wait for it"
    answered.set()
    assert {failure.reason for failure in failures} == {"slow"}


def test_an_answer_is_read_to_its_bound_and_no_further() -> None:
    sent = 0

    def pour(wire: socket.socket) -> None:
        nonlocal sent
        wire.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += wire.send(b"x" * 65536)

    with raw_server(pour) as url:
        answer = post(url)
    assert (answer.status, len(answer.body), answer.is_cut) == (200, BOUNDS.most_bytes, True)
    assert sent < 64 * 1024**2


def test_a_packed_answer_is_not_unpacked() -> None:
    """Ten bytes could become a gigabyte."""
    packed = b"\x1f\x8b\x08\x00not gzip at all"
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with raw_server(lambda wire: wire.sendall(head + packed)) as url:
        assert post(url).body == packed


def test_the_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as other_end, receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        post(other_end.url)
    assert (len(other_end.got), len(proxy.got)) == (1, 0)


def test_a_slow_receiver_holds_no_thread() -> None:
    async def many() -> int:
        with raw_server(lambda wire: time.sleep(1)) as url:
            asked = [request("POST", read_url(url), networks=HERE, bounds=SHORT) for _ in range(20)]
            waiting = asyncio.gather(*asked, return_exceptions=True)
            await asyncio.sleep(0.2)
            threads = [t for t in threading.enumerate() if t.name.startswith("asyncio")]
            await waiting
            return len(threads)

    assert asyncio.run(many()) == 0
