"""Which addresses may be connected to on a caller's behalf: public ones, and those that a setting allows.

A caller could otherwise make the platform speak to what only the platform reaches: its own servers, the instance
metadata of a cloud, other hosts behind the firewall (server-side request forgery).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IPv6 addresses that stand for an IPv4 address in their last 32 bits: mapped (RFC 4291) and NAT64 (RFC 6052).
_CARRIERS = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
# All that IANA gives out as global unicast.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Not for hosts of the Internet, whatever `ipaddress` of this Python knows of them.
_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            *("100.64.0.0/10", "192.0.0.0/24"),  # shared (RFC 6598), and protocols of IETF
            "168.63.129.16/32",  # Azure's metadata
            *(
                "192.88.99.0/24",
                "2002::/16",
                "2001::/32",
            ),  # 6to4 and Teredo carry IPv4 addresses of the sender's choice
            *("2001:db8::/32", "3fff::/20"),  # documentation
        ),
    )
)


def is_public(address: Address) -> bool:
    """Whether a host of the Internet may have it."""
    address = _carried(address)
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    if address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local:
        return False
    return address.is_global and not _is_in(address, _NOT_PUBLIC)


@dataclass(frozen=True, slots=True)
class Networks:
    """`allowed`: networks that may be connected to though they are not public."""

    allowed: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, given: Iterable[str]) -> Networks:
        """Networks as `10.0.0.0/8`. Raises ValueError."""
        return cls(tuple(ip_network(text) for text in given))

    def admit(self, address: Address) -> bool:
        return is_public(address) or _is_in(_carried(address), self.allowed)


# For addresses that the operator sets: a private one is the usual case.
ANY = Networks((IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))


def _carried(address: Address) -> Address:
    if isinstance(address, IPv6Address) and any(address in network for network in _CARRIERS):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
