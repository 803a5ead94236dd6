"""Small parts of the API that need no server."""

import ipaddress
from pathlib import Path

import pytest

from taskyard.domain.ids import new_id
from taskyard.store.timeline import EventId
from taskyard_api.limits import RateLimit, shared_slots
from taskyard_api.parameters import wanted_range
from taskyard_api.refusals import RangeNotSatisfiable
from taskyard_api.requests import Request, client_address, trusted_networks


def request_from(peer: str, forwarded: str | None = None) -> Request:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": headers,
        "client": (peer, 1),
    }
    return Request(scope, None)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),  # not a trusted proxy: the header counts for nothing
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # the client itself claims the left part
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "nonsense", "nonsense"),
    ],
)
def test_forwarded_addresses_are_believed_only_from_trusted_proxies(
    peer: str, forwarded: str | None, client: str
) -> None:
    assert client_address(request_from(peer, forwarded), trusted_networks(["10.0.0.0/8"])) == client


def test_invalid_proxy_addresses_stop_the_service_at_start() -> None:
    assert trusted_networks(["::1"]) == [ipaddress.ip_network("::1")]
    with pytest.raises(ValueError, match="nonsense"):
        trusted_networks(["nonsense"])


def test_a_rate_limit_refills_with_time() -> None:
    now = 100.0
    limit, key = RateLimit(2, clock=lambda: now), new_id()
    assert [limit.take(key) for _ in range(3)] == [0, 0, 0.5]
    now += 0.5
    assert limit.take(key) == 0
    assert limit.take(key) > 0
    assert limit.take(new_id()) == 0
    assert RateLimit(0).take(key) == 0


def test_processes_share_the_rate_of_a_key_and_a_request_that_comes_once_more_counts_once(tmp_path: Path) -> None:
    now, key, other = 100.0, new_id(), new_id()
    one, two = (RateLimit(2, clock=lambda: now, slots=shared_slots(tmp_path / "rates")) for _ in range(2))
    assert (one.take(key), two.take(key)) == (0, 0)
    assert [one.take(key), two.take(key)] == pytest.approx([0.5, 0.5])
    assert two.take(other) == 0, "each key has its own"
    one.give_back(key)
    assert two.take(key) == 0
    assert one.take(key) > 0


def test_ranges_of_nothing() -> None:
    assert wanted_range(None, 0) is None
    with pytest.raises(RangeNotSatisfiable):
        wanted_range("bytes=0-0", 0)
    with pytest.raises(RangeNotSatisfiable):
        wanted_range("bytes=-5", 0)
    assert wanted_range("bytes=٣-٤", 10) is None


@pytest.mark.parametrize("text", ["", "1", "1.2", "1.2.3.4", "a.b.c", "-1.0.0", "1.2.٣", "1.2." + "9" * 19])
def test_ids_of_events_are_read_strictly(text: str) -> None:
    with pytest.raises(ValueError, match="not the id"):
        EventId.parse(text)
    assert EventId.parse("1.2.3") < EventId.parse("1.3.0") < EventId.parse("10.0.0")
