"""Reduce a URL, an address and a header to the public part: by default, as little as is useful."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from functools import lru_cache
from typing import Final, TypeAlias

from apimetry.middleware.event import MAX_URL_CHARACTERS
from apimetry.middleware.masking import MASK, mask_path, mask_query

_HASH_HEX_DIGITS: Final = 16
_MAX_CACHED_BYTES: Final = 256


def public_url(path: str, query: str, mode: str) -> str:
    """Return the public URL, for mode ``path``, ``masked`` or ``full``."""
    # Cut first: masking takes time in proportion to the length.
    if mode == "full":
        url = f"{path[:MAX_URL_CHARACTERS]}?{query[:MAX_URL_CHARACTERS]}" if query else path
    else:
        if len(path) > MAX_URL_CHARACTERS:
            path = f"{path[:MAX_URL_CHARACTERS].rpartition('/')[0]}/{MASK}"  # half a secret would pass
        url = mask_path(path)
        if query and mode == "masked":
            url = f"{url}?{mask_query(query[:MAX_URL_CHARACTERS])}"
    return url if len(url) <= MAX_URL_CHARACTERS else url[:MAX_URL_CHARACTERS]


def public_address(address: str, mode: str) -> str:
    """Return the public address: ``off``, ``truncated`` to /24 and /48, or ``full``."""
    if mode == "off" or not address:
        return ""
    if mode == "full":
        return address
    parsed = _parse_address(address)
    if parsed is None:
        return ""  # a Unix socket's name is no address
    prefix = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, prefix), strict=False).network_address)


Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


@lru_cache(maxsize=16)
def parse_networks(entries: tuple[str, ...]) -> tuple[Network, ...]:
    """Return the networks of addresses and networks; ``unix`` (a peer without an address) is left out.

    Raises:
        ValueError: an entry is no address and no network.
    """
    return tuple(ipaddress.ip_network(entry, strict=False) for entry in entries if entry != "unix")


def resolve_client(peer: str, forwarded_for: str, forwarded: str, trusted: tuple[str, ...]) -> str:
    """Return the client's address behind trusted proxies: the last hop that is no trusted proxy.

    Only a trusted peer is believed, and only the hops that it or another trusted proxy added.
    X-Forwarded-For wins over Forwarded (RFC 7239): a proxy that sets Forwarded alone must remove the other.
    """
    hops = forwarded_for.split(",") if forwarded_for.strip(", ") else _FORWARDED_HOP.findall(forwarded)
    address = peer
    while hops and _is_trusted(address, trusted):
        hop = _HOP_PORT.sub(r"\1\2", hops.pop().strip().strip('"'))
        if not hop:
            continue  # an empty element of a list does not count (RFC 9110, 5.6.1)
        if _parse_address(hop) is None:
            break  # "unknown", an obfuscated name, or garbage: the hops before it are no better
        address = hop
    return address


_FORWARDED_HOP: Final = re.compile(r'(?i)(?:^|[,;\s])for\s*=\s*("[^"]*"|[^,;\s]+)')
_HOP_PORT: Final = re.compile(r"^(?:\[([^\]]*)\](?::\d+)?|([0-9.]+):\d+)$")


def _is_trusted(address: str, trusted: tuple[str, ...]) -> bool:
    parsed = _parse_address(address)
    if parsed is None:
        return "unix" in trusted and not address.strip()
    return any(parsed in network for network in parse_networks(trusted) if network.version == parsed.version)


def _parse_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def hash_consumer(value: bytes, write_key: str) -> str:
    """Hash a header's value to a consumer id: 16 hex digits, the same in every process with the same key.

    The hash is BLAKE2b, keyed with the write key. Without the write key nobody can test guesses against stored ids,
    and ids do not link two applications. A new write key starts new ids.
    """
    # A longer value is not worth a place in the cache.
    return _hash_cached(value, write_key) if len(value) <= _MAX_CACHED_BYTES else _hash(value, write_key)


def _hash(value: bytes, write_key: str) -> str:
    return hashlib.blake2b(value, digest_size=_HASH_HEX_DIGITS // 2, key=_hash_key(write_key)).hexdigest()


_hash_cached = lru_cache(maxsize=1024)(_hash)


@lru_cache(maxsize=16)
def _hash_key(write_key: str) -> bytes:
    return hashlib.sha256(write_key.encode()).digest()
