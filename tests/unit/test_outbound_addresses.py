"""Which addresses may be called, and how they are read."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from taskyard.outbound.networks import Networks, is_public
from taskyard.outbound.urls import read_url

NOT_PUBLIC = {
    "loopback": ("127.0.0.1", "127.255.255.254", "::1"),
    "unspecified": ("0.0.0.0", "::"),
    "this network": ("0.1.2.3",),
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fdff::1"),
    "link-local": ("169.254.0.1", "fe80::1", "febf::1"),
    "shared, RFC 6598": ("100.64.0.1", "100.127.255.255"),
    "metadata": ("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "192.0.0.192"),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"),
    "broadcast and reserved": ("255.255.255.255", "240.0.0.1"),
    "documentation and benchmarks": (
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "2001:db8::1",
        "3fff::1",
    ),
    "mapped": ("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    "compatible": ("::127.0.0.1", "::10.0.0.1"),
    "NAT64": ("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "64:ff9b:1::808:808"),
    "6to4 and its relays": ("2002:7f00:1::", "2002:808:808::1", "192.88.99.1"),
    "Teredo": ("2001::1", "2001:0:7f00:1::"),
    "site-local, discard, and not given out": ("fec0::1", "100::1", "4000::1", "5f00::1"),
}


@pytest.mark.parametrize(
    "address", [pytest.param(a, id=f"{kind} {a}") for kind, found in NOT_PUBLIC.items() for a in found]
)
def test_every_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    assert not Networks().admit(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_a_public_address_is_admitted_also_where_another_one_carries_it(address: str) -> None:
    assert Networks().admit(ip_address(address))


def test_an_allowed_network_is_admitted_in_each_form_of_its_addresses_and_no_other_is() -> None:
    networks = Networks.parse(["10.20.0.0/16", "fd12::/16"])
    for address in ("10.20.3.4", "::ffff:10.20.3.4", "fd12::1"):
        assert networks.admit(ip_address(address))
    for address in ("10.21.0.1", "::ffff:10.21.0.1", "fd13::1", "127.0.0.1"):
        assert not networks.admit(ip_address(address))


@pytest.mark.parametrize(
    "text",
    [
        "ftp://h/",
        "//h/",
        "https://",
        "https:///x",
        "https://u@h/",
        "https://u:p@h/",
        "https://h@evil/",
        "https://h\\@evil/",
        "https://h:0/",
        "https://h:65536/",
        "https://h:x/",
        "https://h:/",
        "https://[::1/",
        "https://[::1]x/",
        "https://[fe80::1%25eth0]/",
        "https://h/a/../b",
        "https://h/a/%2e%2E/b",
        "https://h/a/..%2fb",
        "https://h/a%2F%2e%2e%5Cb",
        "https://h/.",
        "https://h/ a",
        "https://h/\r\nX: y",
        "https://h/#f",
        "https://münchen.de/",
        "https://" + "a" * 3000,
        "https://-h/",
        "https://a..b/",
        "https://h%00/",
    ],
)
def test_an_address_that_parsers_may_read_differently_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_url(text)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("HTTPS://Receiver.Example/A?b=%20", "https://receiver.example/A?b=%20"),
        ("https://h:443", "https://h/"),
        ("http://h:80/", "http://h/"),
        ("http://h:8080/x", "http://h:8080/x"),
        ("http://[::FFFF:7f00:1]:81/", "http://[::ffff:7f00:1]:81/"),
    ],
)
def test_an_address_has_one_form(given: str, read: str) -> None:
    assert str(read_url(given)).replace("::ffff:127.0.0.1", "::ffff:7f00:1") == read


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001"])
def test_a_number_that_resolvers_take_for_an_address_is_a_name_whose_address_is_checked(host: str) -> None:
    assert read_url(f"http://{host}/").address is None


@pytest.mark.parametrize(
    ("url", "base", "lies"),
    [
        ("https://h/hooks", "https://h/hooks", True),
        ("https://h/hooks?x=1", "https://h/hooks", True),
        ("https://h/hooks/a", "https://h/hooks", True),
        ("https://h/hooks/a", "https://h/hooks/", True),
        ("https://h/hooks", "https://h/hooks/", True),
        ("https://h/x", "https://h/", True),
        ("https://h/hooks-of-others", "https://h/hooks", False),
        ("https://h/", "https://h/hooks", False),
        ("http://h/hooks", "https://h/hooks", False),
        ("https://h:444/hooks", "https://h/hooks", False),
        ("https://h.evil/hooks", "https://h/hooks", False),
    ],
)
def test_an_address_lies_under_another_by_origin_and_whole_segments(url: str, base: str, lies: bool) -> None:
    assert read_url(url).lies_under(read_url(base)) is lies
