"""Which addresses a webhook may go to, decided on the address that is connected to.

A name is resolved once for each connection, and the addresses that pass the check are the ones connected to: a name
that answers differently the second time (DNS rebinding) gains nothing. An address written into the URL does not
pass through a resolver, so it is checked before the call; one in a form that only the system's old functions know
(0177.0.0.1, 127.1, 2130706433, 0x7f.1) is refused whatever it stands for.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# No name ends like this (https://url.spec.whatwg.org/#ends-in-a-number-checker).
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?", re.DOTALL)


class AddressRefused(OSError):
    """A webhook's address is not a public one."""


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet, also where it wraps an IPv4 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if found.is_site_local or found.is_reserved or found.teredo is not None:
            return False
    return found.is_global and not found.is_multicast


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
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(each["host"]) for each in found):
            raise AddressRefused("the webhook's name has a private address")
        return found

    async def close(self) -> None:
        """Close the other resolver."""
        await self._resolver.close()
