"""Decide which addresses a webhook may go to, by the address that is connected to.

A name is resolved once for each connection, and the addresses that pass the check are connected to. So a name that
resolves differently the second time (DNS rebinding) gains nothing. An address in the URL passes through no resolver:
it is checked before the call. An address in a form that only old functions of the system know (0177.0.0.1, 127.1,
2130706433, 0x7f.1) is always refused.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

# https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast.
_SPECIAL_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            # Azure's own services inside each of its virtual machines; in no registry.
            "168.63.129.16/32",
        ),
    )
)
# All that IANA gives out for the internet; https://www.iana.org/assignments/iana-ipv6-special-registry within it.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            # Protocol assignments: Teredo, benchmarking, ORCHID, drone identifiers, AS112 and relays.
            "2001::/23",
            "2001:db8::/32",
            # 6to4, which wraps an IPv4 address and is given up (RFC 7526).
            "2002::/16",
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
# What a network without IPv4 resolves a public name to: the wrapped address decides.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LAST_32_BITS = 0xFFFFFFFF
# RFC 5214, section 6.1: an interface that tunnels to the IPv4 address in the last 32 bits; one bit says universal.
_ISATAP, _ISATAP_MASK = 0x00005EFE, 0xFDFFFFFF
# No name ends like this (https://url.spec.whatwg.org/#ends-in-a-number-checker).
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?", re.DOTALL)


class AddressRefused(OSError):
    """A webhook's address is not a public one."""


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, also where it wraps an IPv4 address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _SPECIAL_V4)
    inner = ip.ipv4_mapped or (ipaddress.IPv4Address(int(ip) & _LAST_32_BITS) if ip in _NAT64 else None)
    if inner is not None:
        return is_public(str(inner))
    if ip not in _GLOBAL_UNICAST or (int(ip) >> 32) & _ISATAP_MASK == _ISATAP:
        return False
    return not any(ip in network for network in _SPECIAL_V6)


def check_host(host: str) -> None:
    """Raise AddressRefused where `host` is an IP address that is not public; a name is for `PublicResolver`."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        is_refused = _ENDS_IN_A_NUMBER.fullmatch(host) is not None
    else:
        is_refused = not is_public(host)
    if is_refused:
        raise AddressRefused("the webhook's address is private")


class PublicResolver(AbstractResolver):
    """Resolves names by another resolver, and refuses those that have any address that is not public."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host`; raises AddressRefused."""
        addresses = await self._resolver.resolve(host, port, family)
        if not all(is_public(address["host"]) for address in addresses):
            raise AddressRefused("the webhook's name has a private address")
        return addresses

    async def close(self) -> None:
        """Close the other resolver."""
        await self._resolver.close()
